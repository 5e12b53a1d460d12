// NumPy's .npz archives of arrays, and single .npy arrays.
//
// An npz is a zip of members KEY.npy, stored (savez) or deflated (savez_compressed); the tensor is
// called KEY, a lone .npy after its file. Arrays in Fortran order and big-endian ones are turned
// into C order and little-endian while they stream. Nothing is unpickled, ever.
//
// bfloat16 arrays are written by NumPy as two opaque bytes ("<V2"), float8 as one: nothing in the
// file tells what they were. They are kVoid, and the manifest's metadata say so under
// "dtype of KEY".
#pragma once

#include <filesystem>
#include <memory>

#include "ckpt/formats/format.h"
#include "formats/container/file.h"

namespace ckpt::formats {

// kCertain for the magic of .npy and for a zip whose directory shows only .npy members; kLikely by
// suffix and for a zip with other members too, unless they are those of a PyTorch or Keras file.
Match ProbeNpz(const ProbeInput& input);

// Fails as a whole where the zip is damaged or ambiguous (see zip_archive.h), or where a lone .npy
// is. Within a sound archive the faults of one array are a Problem and leave the others readable;
// the array is listed with data_present false:
//   - a pickle of Python objects: kUnsafe; records, dates, long double: kUnsupported; both with
//     their shape and dtype kVoid;
//   - a header that is none: kCorrupt, dtype kVoid and shape [];
//   - data of another size than shape times dtype: kCorrupt.
// Members without ".npy" are no arrays; note counts them.
//
// Strings are read at opening (up to limits.metadata_bytes in all), since only their padded size
// is in the header. In Fortran order, a deflated array of more than 256 MiB and an array with more
// than 256 MiB behind one index of its first axis are refused with kLimitExceeded when they are
// read; a stored one is read twice, once for its CRC-32.
//
// TensorInfo::checksum is the CRC-32 of the array's data alone, derived from the member's, for
// arrays whose stored bytes are what a stream yields.
Result<std::unique_ptr<Checkpoint>> OpenNpz(const Files& files, const std::filesystem::path& path,
                                            const Limits& limits);

// Writes what numpy.savez does for the tensors in the order of their names, byte for byte.
Result<WriteSummary> WriteNpz(AtomicOutput& output, const std::filesystem::path& path,
                              const OutputModel& model, const WriteOptions& options);
Status CanHoldNpz(const TensorInfo& tensor);

}  // namespace ckpt::formats
