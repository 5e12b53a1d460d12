// From HDF5 datatypes to the element types of tensors, and back.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "ckpt/dtype.h"
#include "formats/hdf5/hdf5_library.h"

namespace ckpt::formats {

struct Hdf5ElementType {
  std::optional<Dtype> dtype;   // absent: see `unsupported`
  std::string unsupported;      // "has elements of a reference type"
  std::size_t stored_size = 0;  // bytes of one element in the file, before filters
  // What to read elements as: little-endian, without padding. For strings the type in the file.
  Hdf5Id memory_type;
  bool stored_as_read = false;  // the bytes in the file are those that a stream yields
};

// `file_type` is the type of a dataset, `dtype_attribute` the text of its attribute "dtype" or "".
Hdf5ElementType ClassifyElements(hid_t file_type, std::string_view dtype_attribute);

// The type to store elements of `dtype` as, invalid where there is none.
Hdf5Id StoredType(Dtype dtype);

}  // namespace ckpt::formats
