// Reads all entries of a table, in key order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string_view>

#include "ckpt/formats/format.h"
#include "formats/container/file.h"
#include "formats/tf_bundle/table_format.h"

namespace ckpt::formats {

struct TableEntry {
  std::string_view key;
  std::span<const std::byte> value;
  std::uint64_t offset;          // of the entry in the file; of its block where that is compressed
  BlockHandle block;             // where the entry is
  bool compressed;               // is its block?
  std::uint64_t value_position;  // of the value in the block's uncompressed contents
};

// An entry of a block that is not held.
struct PlacedEntry {
  std::string_view key;
  std::uint64_t offset;                      // of the entry in the file
  BlockHandle block;                         // not compressed
  std::uint64_t value_position, value_size;  // of the value in the block
};

// Calls `visit` for each entry; what an entry points to is valid during the call only. An error of
// `visit` ends the reading and is passed on.
//
// Every block's checksum, order and extent are checked before its entries are shown, so whatever
// the visitor sees was written that way. kCorrupt, with the byte, where the bytes are no table;
// kLimitExceeded where blocks or keys would take more memory than `limits` and the file's own size
// justify.
//
// With `visit_large`, the entries of blocks that are larger than kHeldBlockBytes and not compressed
// go there, without their values, and memory does not grow with such blocks.
Status ReadTable(const RandomAccessFile& file, const Limits& limits,
                 const std::function<Status(const TableEntry&)>& visit,
                 const std::function<Status(const PlacedEntry&)>& visit_large = nullptr);

}  // namespace ckpt::formats
