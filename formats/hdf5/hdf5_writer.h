// Writes HDF5 files as h5py's default does, so that every Keras version reads them: superblock
// version 0, symbol-table groups, contiguous unfiltered datasets. No times: the same calls give the
// same bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ckpt/dtype.h"
#include "ckpt/result.h"
#include "ckpt/shape.h"

namespace ckpt::formats {

// An attribute lives in an object header, whose messages are shorter than 64 KiB. Keras splits
// longer lists of names over "layer_names0", "layer_names1", ... at this size (its
// HDF5_OBJECT_HEADER_LIMIT). Strings of variable length count 16 bytes each here.
inline constexpr std::size_t kHdf5AttributeBytes = 64512;

class PartedChecksum;

// Can CreateDataset hold it? kUnsupported, in words, if not.
Status Hdf5CanHold(Dtype dtype, const Shape& shape);

// Not thread-safe; several writers may work in different threads. Errors do not name the file: the
// caller knows what a temporary path stands for.
class Hdf5Writer {
 public:
  enum class StringKind : std::uint8_t { kFixed, kVariable };
  enum class Charset : std::uint8_t { kAscii, kUtf8 };

  // Creates or truncates the file: give a temporary path and rename it afterwards.
  static Result<std::unique_ptr<Hdf5Writer>> Create(const std::filesystem::path& path);
  // Writes the HDF5 file into one that is there, from its end on. `checksum` is told of the bytes
  // of datasets and must outlive the writer.
  static Result<std::unique_ptr<Hdf5Writer>> CreateWithin(const std::filesystem::path& path,
                                                          PartedChecksum& checksum);
  ~Hdf5Writer();  // without Close() the file is left unfinished
  Hdf5Writer(const Hdf5Writer&) = delete;
  Hdf5Writer& operator=(const Hdf5Writer&) = delete;

  // Paths are absolute: "/model_weights/conv1". Groups on the way are created; a group that exists
  // is left alone. kUnsupported for paths that HDF5 cannot hold ("/a//b", "/a/./b").
  Status CreateGroup(const std::string& path);

  // A scalar string of variable length, of any size, without NUL (kUnsupported). `object` is a
  // group or dataset that exists.
  Status SetText(const std::string& object, const std::string& name, std::string_view text,
                 Charset charset = Charset::kAscii);
  // A one-dimensional array of strings; kFixed pads with NUL to the longest, as NumPy does. An
  // empty list becomes a float64 array of shape [0], as h5py writes it. kUnsupported where the
  // attribute would exceed kHdf5AttributeBytes.
  Status SetTexts(const std::string& object, const std::string& name,
                  std::span<const std::string> texts, StringKind kind = StringKind::kFixed,
                  Charset charset = Charset::kAscii);

  // Creates a dataset with its room in the file; its bytes follow by Append. bfloat16 becomes an
  // opaque type with the attribute dtype = "bfloat16", as Keras 3 writes it; bool h5py's enum.
  Status CreateDataset(const std::string& path, Dtype dtype, const Shape& shape);
  // The next bytes, little-endian and in C order, of the dataset created last.
  Status Append(std::span<const std::byte> bytes);

  // Finishes the file. kInternal where a dataset lacks bytes.
  Status Close();

 private:
  struct State;
  static Result<std::unique_ptr<Hdf5Writer>> CreateIn(int descriptor, PartedChecksum* checksum);
  explicit Hdf5Writer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace ckpt::formats
