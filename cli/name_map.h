// The small JSON files that options name: --rename, --pairs and --map.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "ckpt/convert.h"
#include "formats/container/file.h"

namespace ckpt::cli {

struct NameMap {
  std::map<std::string, std::string> names;
  std::map<std::string, TensorHint> hints;  // by old name
};
// {"old name": "new name"}, or for a tensor whose layout nothing else settles {"old name": {"name":
// "new name", "layout": "HWIM", "multiplier": 2, "flattened_channels": 64}}, every key optional.
// kInvalidArgument where the content is not that, kNotFound or kIo for the file.
Result<NameMap> ReadNameMap(const formats::Files& files, const std::string& path);

// {"pairs": [{"batch_norm", "into", "bias", "direction", "epsilon", "layout"}]}
Result<std::vector<UserPair>> ReadPairs(const formats::Files& files, const std::string& path);

// {"inputs": {"a's name": "b's"}, "outputs": {...}}
struct PortMap {
  std::map<std::string, std::string> inputs = {}, outputs = {};
};
Result<PortMap> ReadPortMap(const formats::Files& files, const std::string& path);

}  // namespace ckpt::cli
