// A driver of the HDF5 library (its "virtual file layer") that reads a RandomAccessFile: the
// library opens nothing by name, so the child that runs it needs no right to open files.
#pragma once

#include <optional>

#include "formats/container/file.h"
#include "formats/hdf5/hdf5_library.h"

namespace ckpt::formats {

// Opens `file` for reading, once per process: `file` must live until the process ends. Another file
// that the library wants to open (the source of a virtual dataset) is refused. `chunk_cache_bytes`
// may be held of decoded chunks for each open dataset.
Result<Hdf5Id> OpenWithDriver(const RandomAccessFile& file, std::uint64_t chunk_cache_bytes);

// What the system said where it could not read: the library only knows that its call failed.
const std::optional<Error>& DriverReadFailure();

}  // namespace ckpt::formats
