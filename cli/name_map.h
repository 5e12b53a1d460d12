// The small JSON files that options name: --rename and --pairs.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "ckpt/fold.h"

namespace ckpt::cli {

// {"old name": "new name"}. kInvalidArgument where the content is not that, kNotFound or kIo for
// the file.
Result<std::map<std::string, std::string>> ReadNameMap(const std::string& path);

// {"pairs": [{"batch_norm", "into", "bias", "direction", "epsilon", "layout"}]}
Result<std::vector<UserPair>> ReadPairs(const std::string& path);

}  // namespace ckpt::cli
