#include "ckpt/name_glob.h"

#include <fnmatch.h>

#include <algorithm>

namespace ckpt {

bool MatchesAny(const std::vector<std::string>& globs, const TensorInfo& info) {
  return std::any_of(globs.begin(), globs.end(), [&](const std::string& glob) {
    return fnmatch(glob.c_str(), info.name.c_str(), 0) == 0 ||
           fnmatch(glob.c_str(), info.stored_as.c_str(), 0) == 0;
  });
}

}  // namespace ckpt
