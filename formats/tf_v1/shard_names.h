// The files of a V1 checkpoint: one without a suffix, or a set PREFIX-00000-of-00002, ...
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "formats/container/file.h"

namespace ckpt::formats {

struct V1ShardPath {
  std::string prefix;
  std::uint64_t shard, count;
};
// {"dir/export", 0, 2} of "dir/export-00000-of-00002"; nothing for other names, those of a bundle's
// data among them.
std::optional<V1ShardPath> ParseV1ShardName(std::string_view path);
std::string V1ShardName(std::string_view prefix, std::uint64_t shard, std::uint64_t count);

// "dir/export" of "dir/export-?????-of-00002", as which TensorFlow names such a set; else nothing.
std::optional<std::string> ParseV1SetPattern(std::string_view path);

// Does the file end as a V1 checkpoint does, and is it not called as a bundle's index is? False
// where it cannot be opened.
bool LooksLikeV1(const Files& files, const std::string& path);

// The first file of the V1 checkpoint called `prefix`: itself, or a shard; nothing if there is
// none.
std::optional<std::string> FindV1(const Files& files, const std::string& prefix);

// Names (without folder) under which `folder` holds V1 checkpoints, sets by their prefix; sorted.
std::vector<std::string> ListV1(const Files& files, const std::string& folder);

}  // namespace ckpt::formats
