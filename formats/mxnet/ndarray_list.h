// The arrays of a .params file and where their bytes are.
//
//   file    = 0x112 (u64), 0 (u64), count (u64), arrays, count (u64), names
//   name    = length (u64), bytes; a file without names says 0
//   array   = magic (u32) of version 2 or 3, storage type (i32), shape, context (2 x i32), element
//             type (i32), bytes; version 1 has no storage type; before it there was no magic
//   shape   = rank (i32), dimensions (i64 each; before version 1 u32)
//
// Integers are little-endian. A shape of rank 0 (before version 3), or of unknown rank, means an
// array that was never filled; nothing follows it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ckpt/formats/format.h"
#include "ckpt/shape.h"
#include "formats/container/file.h"

namespace ckpt::formats {

struct StoredNdarray {
  std::string name;            // empty in a list without names
  std::optional<Shape> shape;  // nothing for an array that was never filled
  std::int32_t type = 0;       // MXNet's number of the element type
  std::optional<Dtype> dtype;  // nothing for a type that is not known here
  std::uint64_t offset = 0, size = 0;
  bool sparse = false;
};

Result<std::vector<StoredNdarray>> ReadNdarrayList(const RandomAccessFile& file,
                                                   const Limits& limits);

}  // namespace ckpt::formats
