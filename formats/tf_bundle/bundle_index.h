// What a bundle's .index file says: the header and one entry per tensor, checked against each other
// but not yet against the data shards.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ckpt/formats/format.h"
#include "ckpt/shape.h"
#include "formats/container/file.h"
#include "formats/tf_bundle/tf_dtype.h"

namespace ckpt::formats {

// Bytes of a data shard.
struct ShardRange {
  std::uint32_t shard = 0;
  std::uint64_t offset = 0, size = 0;  // their sum does not overflow
  std::uint32_t crc32c = 0;            // unmasked
};

// A part of a partitioned tensor: the box [start, start + shape) of it, stored in C order.
struct BundleSlice {
  std::vector<std::int64_t> start;
  Shape shape;
  ShardRange range;
};

struct BundleTensor {
  std::string key;
  const TfDtype* dtype = nullptr;
  Shape shape;
  ShardRange range;                 // means nothing where there are slices
  std::vector<BundleSlice> slices;  // they cover the tensor, each element once
};

struct BundleIndex {
  std::uint32_t num_shards = 1;
  bool big_endian = false;
  std::vector<BundleTensor> tensors;  // sorted by key; slices are not listed apart
};

// kCorrupt with the offset and, where there is one, the tensor's key.
Result<BundleIndex> ReadBundleIndex(const RandomAccessFile& file, const Limits& limits);

}  // namespace ckpt::formats
