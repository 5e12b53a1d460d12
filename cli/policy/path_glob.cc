#include "cli/policy/path_glob.h"

#include <fnmatch.h>

#include <string>
#include <system_error>
#include <vector>

#include "formats/remote/address.h"

namespace ckpt::cli {
namespace {

using Parts = std::vector<std::string>;

Parts PartsOf(std::string_view text) {
  Parts parts;
  while (!text.empty()) {
    const std::size_t slash = std::min(text.find('/'), text.size());
    if (slash > 0) parts.emplace_back(text.substr(0, slash));
    text.remove_prefix(std::min(slash + 1, text.size()));
  }
  return parts;
}

// Do the first parts of `path`, or all, match the whole pattern?
bool MatchesAbove(const Parts& pattern, const Parts& path) {
  // open[j]: the pattern up to here matches the first j parts.
  std::vector<bool> open(path.size() + 1, false);
  open[0] = true;
  for (const std::string& part : pattern) {
    std::vector<bool> next(path.size() + 1, false);
    for (std::size_t j = 0; j <= path.size(); ++j) {
      if (part == "**") {
        next[j] = open[j] || (j > 0 && next[j - 1]);
      } else {
        next[j] = j > 0 && open[j - 1] && ::fnmatch(part.c_str(), path[j - 1].c_str(), 0) == 0;
      }
    }
    open = std::move(next);
  }
  for (std::size_t j = 1; j <= path.size(); ++j) {
    if (open[j]) return true;
  }
  return false;
}

}  // namespace

bool MatchesPath(std::string_view pattern, const std::filesystem::path& folder,
                 const std::filesystem::path& path) {
  const bool anchored = pattern.substr(0, pattern.size() - 1).find('/') != std::string_view::npos;
  Parts parts = PartsOf(pattern);
  if (parts.empty()) return false;
  if (!anchored) parts.insert(parts.begin(), "**");
  std::filesystem::path relative = path.lexically_relative(folder);
  if (relative.empty() || *relative.begin() == "..") {
    if (parts.front() != "**") return false;
    relative = path.relative_path();
  }
  return MatchesAbove(parts, PartsOf(relative.generic_string()));
}

std::filesystem::path PlaceOf(const std::filesystem::path& path) {
  if (formats::IsRemoteName(path.native())) return path;
  std::error_code failed;
  std::filesystem::path absolute = std::filesystem::absolute(path, failed).lexically_normal();
  if (failed) return path;
  if (absolute.filename().empty()) absolute = absolute.parent_path();  // "folder/"
  const std::filesystem::path above =
      std::filesystem::weakly_canonical(absolute.parent_path(), failed);
  return failed ? absolute : above / absolute.filename();
}

}  // namespace ckpt::cli
