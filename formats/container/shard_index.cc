#include "formats/container/shard_index.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "formats/encoding/json_events.h"

namespace ckpt::formats {
namespace {

constexpr unsigned kMaxJsonDepth = 127;
constexpr std::size_t kMaxShards = 65536;

//   depth 0: {   depth 1: "metadata" or "weight_map", {   depth 2: tensor name, shard file
class IndexParser {
 public:
  IndexParser(const std::string& file, const Limits& limits) : file_(file), limits_(limits) {}

  Status On(const JsonEvent& event) {
    if (event.depth == 0) {
      if (event.kind == JsonKind::kBeginObject || event.kind == JsonKind::kEndObject) return {};
      return Corrupt(event.offset,
                     "the index is " + std::string(Describe(event)) + ", not an object");
    }
    if (event.depth == 1 && event.kind == JsonKind::kKey) return OnTopLevelKey(event);
    switch (section_) {
      case Section::kMetadata:
        return OnMetadata(event);
      case Section::kWeightMap:
        return OnWeightMap(event);
      case Section::kUnknown:
        return {};
    }
    return {};
  }

  bool has_weight_map() const noexcept { return has_weight_map_; }
  ShardIndex Take() { return std::move(index_); }

 private:
  enum class Section : std::uint8_t { kUnknown, kMetadata, kWeightMap };

  tl::unexpected<Error> Corrupt(std::uint64_t offset, std::string message,
                                std::string tensor = {}) const {
    return Fail(Error{ErrorCode::kCorrupt, std::move(message), file_, offset, std::move(tensor)});
  }

  Status OnTopLevelKey(const JsonEvent& key) {
    section_ = key.text == "metadata"     ? Section::kMetadata
               : key.text == "weight_map" ? Section::kWeightMap
                                          : Section::kUnknown;
    if (section_ == Section::kWeightMap && std::exchange(has_weight_map_, true)) {
      return Corrupt(key.offset, "the index has weight_map twice");
    }
    return {};
  }

  Status OnMetadata(const JsonEvent& event) {
    if (event.depth != 2) return {};
    if (event.kind == JsonKind::kKey) metadata_key_ = event.text;
    if (event.kind == JsonKind::kString) index_.metadata[metadata_key_] = event.text;
    if (event.kind == JsonKind::kUnsigned) {
      index_.metadata[metadata_key_] = std::to_string(event.number);
    }
    return {};
  }

  Status OnWeightMap(const JsonEvent& event) {
    if (event.depth == 1) {
      if (event.kind == JsonKind::kBeginObject || event.kind == JsonKind::kEndObject) return {};
      return Corrupt(event.offset,
                     "weight_map is " + std::string(Describe(event)) + ", not an object");
    }
    if (event.kind == JsonKind::kKey) {
      if (event.text.size() > limits_.name_bytes || index_.tensors.size() >= limits_.tensors) {
        return TooMuch(event.offset, "tensors, or too long a name");
      }
      index_.tensors.push_back({std::string(event.text), 0, event.offset});
      return {};
    }
    ShardEntry& entry = index_.tensors.back();
    if (event.kind != JsonKind::kString) {
      return Corrupt(event.offset,
                     "its shard is " + std::string(Describe(event)) + ", not a file name",
                     entry.name);
    }
    const auto [place, added] = numbers_.try_emplace(
        std::string(event.text), static_cast<std::uint32_t>(index_.shards.size()));
    if (added) {
      if (index_.shards.size() >= kMaxShards) return TooMuch(event.offset, "shards");
      index_.shards.emplace_back(event.text);
    }
    entry.shard = place->second;
    return {};
  }

  tl::unexpected<Error> TooMuch(std::uint64_t offset, const std::string& of_what) const {
    return Fail(
        Error{ErrorCode::kLimitExceeded, "the index names too many " + of_what}.In(file_).At(
            offset));
  }

  const std::string& file_;
  const Limits& limits_;
  ShardIndex index_;
  std::unordered_map<std::string, std::uint32_t> numbers_;
  Section section_ = Section::kUnknown;
  bool has_weight_map_ = false;
  std::string metadata_key_;
};

}  // namespace

Result<ShardIndex> ReadShardIndex(const RandomAccessFile& file, const Limits& limits) {
  CKPT_ASSIGN_OR_RETURN(const std::string json, ReadWhole(file, limits.metadata_bytes));
  IndexParser parser(file.path(), limits);
  CKPT_RETURN_IF_ERROR(ParseJson({json, 0, file.path()}, kMaxJsonDepth,
                                 [&](const JsonEvent& event) { return parser.On(event); }));
  if (!parser.has_weight_map()) {
    return Fail(Error{ErrorCode::kCorrupt, "the index has no weight_map"}.In(file.path()));
  }
  ShardIndex index = parser.Take();
  std::stable_sort(index.tensors.begin(), index.tensors.end(),
                   [](const auto& a, const auto& b) { return a.name < b.name; });
  const auto twin =
      std::adjacent_find(index.tensors.begin(), index.tensors.end(),
                         [](const auto& a, const auto& b) { return a.name == b.name; });
  if (twin != index.tensors.end()) {
    const ShardEntry& second = *std::next(twin);
    return Fail(Error{ErrorCode::kCorrupt, "weight_map has its name twice", file.path(),
                      second.key_offset, second.name});
  }
  return index;
}

}  // namespace ckpt::formats
