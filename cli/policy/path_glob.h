// Which checkpoints a pattern of ckpt.toml means.
#pragma once

#include <filesystem>
#include <string_view>

namespace ckpt::cli {

// The rules of .gitignore, without its "!": a pattern with no slash but at its end matches a name
// at any depth, any other the path from `folder` on; `**` stands for any number of folders, `*`
// and `?` for what holds no slash. What matches a folder matches all in it. A path outside of
// `folder` is matched by patterns without a slash, and by those that begin with "**/", alone.
// `path` and `folder` are absolute and normal.
bool MatchesPath(std::string_view pattern, const std::filesystem::path& folder,
                 const std::filesystem::path& path);

// The absolute path without "." and "..", links in the folders above it followed: what two names
// of one place have in common, whether or not it is there.
std::filesystem::path PlaceOf(const std::filesystem::path& path);

}  // namespace ckpt::cli
