#include "formats/tf_bundle/data_shards.h"

#include <algorithm>
#include <charconv>
#include <filesystem>

namespace ckpt::formats {
namespace {

constexpr std::size_t kMaxOpenFiles = 64;
constexpr std::string_view kDataInfix = ".data-", kOf = "-of-";
constexpr std::size_t kDigits = 5;  // at least; more where the number needs them

std::string Padded(std::uint64_t number) {
  std::string text = std::to_string(number);
  return text.size() < kDigits ? std::string(kDigits - text.size(), '0') + text : text;
}

std::optional<std::uint64_t> ParsePadded(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (failed != std::errc() || end != text.data() + text.size() || Padded(number) != text) {
    return std::nullopt;
  }
  return number;
}

// "dir/model.ckpt" as folder and name; the name is empty for "dir/".
std::pair<std::filesystem::path, std::string> SplitPrefix(const std::string& prefix) {
  const std::filesystem::path path(prefix);
  return {path.parent_path(), path.filename().string()};
}

}  // namespace

std::string ShardNumbers(std::uint64_t shard, std::uint64_t count) {
  return Padded(shard) + std::string(kOf) + Padded(count);
}

std::optional<std::pair<std::uint64_t, std::uint64_t>> ParseShardNumbers(std::string_view text) {
  const std::size_t of = text.find(kOf);
  if (of == std::string_view::npos) return std::nullopt;
  const auto shard = ParsePadded(text.substr(0, of));
  const auto count = ParsePadded(text.substr(of + kOf.size()));
  if (!shard || !count || *shard >= *count) return std::nullopt;
  return std::pair(*shard, *count);
}

std::string DataShardName(std::string_view prefix, std::uint64_t shard, std::uint64_t count) {
  return std::string(prefix) + std::string(kDataInfix) + ShardNumbers(shard, count);
}

std::optional<DataShardPath> ParseDataShardName(std::string_view path) {
  const std::size_t infix = path.rfind(kDataInfix);
  if (infix == std::string_view::npos) return std::nullopt;
  const auto numbers = ParseShardNumbers(path.substr(infix + kDataInfix.size()));
  if (!numbers) return std::nullopt;
  return DataShardPath{std::string(path.substr(0, infix)), numbers->first, numbers->second};
}

DataShards::DataShards(const Files& files, std::string prefix, std::uint64_t count,
                       const std::set<std::uint32_t>& needed)
    : files_(files), prefix_(std::move(prefix)), count_(CountOnDisk(count, needed)) {
  for (const std::uint32_t shard : needed) {
    auto file = OpenFile(shard);
    if (!file) {
      sizes_.emplace(shard, Fail(file));
      continue;
    }
    sizes_.emplace(shard, (*file)->size());
    if (open_.size() < kMaxOpenFiles) open_.emplace(shard, *std::move(file));
  }
}

std::uint64_t DataShards::CountOnDisk(std::uint64_t count,
                                      const std::set<std::uint32_t>& needed) const {
  const bool as_said = std::any_of(needed.begin(), needed.end(), [&](std::uint32_t shard) {
    return files_.Exists(DataShardName(prefix_, shard, count));
  });
  if (as_said || needed.empty()) return count;
  const auto [folder, base] = SplitPrefix(prefix_);
  const auto names = files_.List(folder);
  if (!names) return count;
  std::map<std::uint64_t, std::size_t> found;  // count in the name -> needed shards that exist
  for (const std::string& name : *names) {
    const auto shard = ParseDataShardName(name);
    if (shard && shard->prefix == base && shard->shard <= UINT32_MAX &&
        needed.contains(static_cast<std::uint32_t>(shard->shard))) {
      ++found[shard->count];
    }
  }
  if (found.size() == 1 && found.begin()->second == needed.size()) return found.begin()->first;
  return count;
}

Result<std::unique_ptr<RandomAccessFile>> DataShards::OpenFile(std::uint32_t shard) const {
  const auto [folder, base] = SplitPrefix(prefix_);
  return files_.OpenBeneath(folder, DataShardName(base, shard, count_));
}

std::vector<std::string> DataShards::Present() const {
  std::vector<std::string> paths;
  for (const auto& [shard, size] : sizes_) {
    if (size) paths.push_back(Path(shard));
  }
  return paths;
}

Result<std::uint64_t> DataShards::Size(std::uint32_t shard) const { return sizes_.at(shard); }

Result<std::shared_ptr<const RandomAccessFile>> DataShards::Open(std::uint32_t shard) const {
  if (const auto kept = open_.find(shard); kept != open_.end()) return kept->second;
  CKPT_ASSIGN_OR_RETURN(auto file, OpenFile(shard));
  return std::shared_ptr<const RandomAccessFile>(std::move(file));
}

}  // namespace ckpt::formats
