// The index of a sharded set: which file holds which tensor.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "ckpt/formats/format.h"
#include "formats/container/file.h"

namespace ckpt::formats {

struct ShardEntry {
  std::string name;
  std::uint32_t shard;       // an index into ShardIndex::shards
  std::uint64_t key_offset;  // of its name in the index file
};

struct ShardIndex {
  std::vector<std::string> shards;              // names as written, in the order of first use
  std::vector<ShardEntry> tensors;              // sorted by name, no name twice
  std::map<std::string, std::string> metadata;  // strings and unsigned numbers of "metadata"
};

Result<ShardIndex> ReadShardIndex(const RandomAccessFile& file, const Limits& limits);

}  // namespace ckpt::formats
