// The index of a sharded set of Keras 3 weights.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ckpt/formats/format.h"
#include "formats/container/file.h"

namespace ckpt::formats::keras {

struct ShardMap {
  std::vector<std::string> shards;  // file names as written, in the order of first use
  struct Entry {
    std::string group;  // "/layers/conv2d/vars"
    std::vector<std::uint32_t> shards;
    std::uint64_t offset = 0;  // of its name in the index
  };
  std::vector<Entry> groups;  // in the order of the index
};

// kCorrupt, with the offset, for anything else than the form in keras_weights.h.
Result<ShardMap> ReadShardMap(const RandomAccessFile& file, const Limits& limits);

}  // namespace ckpt::formats::keras
