// HDF5 files, read by a child process: the library dies or hangs on hostile files, and then the
// child does and this process reports one error. The parent trusts nothing that the child says.
//
// Format: "HDF5 File Format Specification Version 3.0", The HDF Group.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "ckpt/dtype.h"
#include "ckpt/formats/format.h"
#include "ckpt/result.h"
#include "ckpt/shape.h"
#include "ckpt/tensor.h"
#include "formats/container/file.h"

namespace ckpt::formats {

struct Hdf5Attribute {
  std::string name;
  Shape shape;  // rank 0: a scalar; [0]: an empty array
  // std::monostate: a type that is not read (compound, reference, ...) or a null dataspace. Strings
  // of every kind (fixed or variable, ASCII or UTF-8) come without their padding. Integers and
  // bools come as int64, floats as double. Keras writes an empty list of names as an empty float
  // array.
  std::variant<std::monostate, std::vector<std::string>, std::vector<std::int64_t>,
               std::vector<double>>
      value = {};

  // The only string of a scalar or of an array of one; null otherwise.
  const std::string* text() const noexcept;
  // All strings; empty (not absent) for an empty array of any type; absent for anything else.
  std::optional<std::vector<std::string>> texts() const;
};

struct Hdf5Object {
  enum class Kind : std::uint8_t { kGroup, kDataset };

  std::string path;  // "/model_weights/conv1/conv1/kernel:0"; "/" is the root group
  Kind kind = Kind::kGroup;
  std::vector<Hdf5Attribute> attributes = {};  // sorted by name

  // Datasets only.
  // kBF16 and the float8 types where an opaque type has the attribute "dtype" that names them,
  // kVoid for other opaque types. Absent where `unsupported` tells why the elements cannot be read.
  std::optional<Dtype> dtype = {};
  std::string unsupported =
      {};  // "has elements of a reference type", "needs the filter 32000 (lzf)"
  Shape shape = {};
  std::uint64_t byte_size = 0;     // that a stream yields (strings: with their u64 lengths)
  std::uint64_t stored_bytes = 0;  // in the file, after filters
  // Where the elements stand as a stream yields them: the stream is read without the child.
  std::optional<std::uint64_t> data_offset = {};

  const Hdf5Attribute* FindAttribute(std::string_view name) const noexcept;  // null if absent
};

class Hdf5File {
 public:
  // Reads the object tree and all attributes, no elements but those of string datasets (for their
  // byte_size). Refuses, naming the object:
  //   kUnsafe         soft, external and user-defined links; external storage; virtual datasets; a
  //                   group that is linked twice (so that a cycle cannot arise); a dataset that
  //                   declares more than 1 MiB and more than 1032 times what is stored (1032 is the
  //                   most that DEFLATE can gain), which would be fill values;
  //   kCorrupt        what the library refuses, or dies on; bytes outside the file;
  //   kLimitExceeded  more time, memory, objects or attribute bytes than `limits` allow; groups
  //                   nested deeper than 256.
  // A type or filter that is not read is no error here, but of OpenDataset.
  static Result<std::unique_ptr<Hdf5File>> Open(std::shared_ptr<const RandomAccessFile> file,
                                                const Limits& limits);
  ~Hdf5File();
  Hdf5File(const Hdf5File&) = delete;
  Hdf5File& operator=(const Hdf5File&) = delete;

  const RandomAccessFile& file() const noexcept;
  // What there is to say of how the file was read, for Manifest::note; or empty.
  const std::string& note() const noexcept;
  std::span<const Hdf5Object> objects() const noexcept;  // groups and datasets, sorted by path
  const Hdf5Object* Find(std::string_view path) const noexcept;  // null if there is none

  // `dataset` is one of objects(). The stream may outlive this object. May be called from several
  // threads; streams of one file take turns at its child. kUnsupported, with the dataset's path in
  // `tensor`, where dataset.unsupported is not empty.
  Result<std::unique_ptr<TensorStream>> OpenDataset(const Hdf5Object& dataset) const;

 private:
  struct State;
  explicit Hdf5File(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace ckpt::formats
