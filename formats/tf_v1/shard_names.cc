#include "formats/tf_v1/shard_names.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <span>

#include "formats/encoding/byte_reader.h"
#include "formats/tf_bundle/data_shards.h"
#include "formats/tf_bundle/table_format.h"

namespace ckpt::formats {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kOf = "-of-", kAnyShard = "-\?\?\?\?\?-of-";

std::pair<std::string, std::string> Split(const std::string& path) {
  const fs::path parts(path);
  return {parts.parent_path().string(), parts.filename().string()};
}

}  // namespace

std::optional<V1ShardPath> ParseV1ShardName(std::string_view path) {
  const std::size_t of = path.rfind(kOf);
  if (of == std::string_view::npos || of == 0) return std::nullopt;
  const std::size_t dash = path.rfind('-', of - 1);
  if (dash == std::string_view::npos) return std::nullopt;
  const auto numbers = ParseShardNumbers(path.substr(dash + 1));
  const std::string_view prefix = path.substr(0, dash);
  if (!numbers || prefix.ends_with(".data")) return std::nullopt;
  return V1ShardPath{std::string(prefix), numbers->first, numbers->second};
}

std::string V1ShardName(std::string_view prefix, std::uint64_t shard, std::uint64_t count) {
  return std::string(prefix) + "-" + ShardNumbers(shard, count);
}

std::optional<std::string> ParseV1SetPattern(std::string_view path) {
  const std::size_t at = path.rfind(kAnyShard);
  if (at == std::string_view::npos) return std::nullopt;
  return std::string(path.substr(0, at));
}

bool LooksLikeV1(const Files& files, const std::string& path) {
  if (path.ends_with(".index") || files.IsDirectory(path)) return false;
  const auto file = files.Open(path);
  if (!file || (*file)->size() < kTableFooterBytes) return false;
  std::array<std::byte, sizeof(kTableMagic)> tail;
  if (!(*file)->ReadAt((*file)->size() - tail.size(), tail)) return false;
  return ByteReader(tail).U64() == kTableMagic;
}

std::optional<std::string> FindV1(const Files& files, const std::string& prefix) {
  if (files.Exists(prefix) && LooksLikeV1(files, prefix)) return prefix;
  const auto [folder, base] = Split(prefix);
  const auto names = files.List(folder);
  if (!names) return std::nullopt;
  for (const std::string& name : *names) {
    const auto shard = ParseV1ShardName(name);
    if (!shard || shard->prefix != base) continue;
    const std::string path = (fs::path(folder) / name).string();
    if (LooksLikeV1(files, path)) return path;
  }
  return std::nullopt;
}

std::vector<std::string> ListV1(const Files& files, const std::string& folder) {
  std::vector<std::string> found;
  const auto names = files.List(folder);
  if (!names) return found;
  for (const std::string& name : *names) {
    if (!LooksLikeV1(files, (fs::path(folder) / name).string())) continue;
    const auto shard = ParseV1ShardName(name);
    found.push_back(shard ? shard->prefix : name);
  }
  std::sort(found.begin(), found.end());
  found.erase(std::unique(found.begin(), found.end()), found.end());
  return found;
}

}  // namespace ckpt::formats
