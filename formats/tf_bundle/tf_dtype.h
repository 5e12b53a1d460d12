// TensorFlow's numbers for element types, and how a bundle stores an element of each.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "ckpt/dtype.h"

namespace ckpt::formats {

struct TfDtype {
  std::int32_t number;  // of DataType in TensorFlow's types.proto
  Dtype dtype;
  std::size_t stored_bytes;  // of one element in a shard; 0 where elements differ
  std::size_t swap_bytes;    // of the part that byte order applies to; 1 or 0: none

  // TensorFlow stores elements of four bits one to a byte; a TensorStream packs two.
  bool packed() const noexcept { return stored_bytes == 1 && BitSize(dtype) == 4; }
};

// Null if no element type known here has this number. Reference types (100 and up) do not occur in
// files.
const TfDtype* FindTfDtype(std::int32_t number) noexcept;
// Null if TensorFlow has no such type.
const TfDtype* FindTfDtype(Dtype dtype) noexcept;

}  // namespace ckpt::formats
