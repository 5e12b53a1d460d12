#include "formats/keras/variables/shard_map.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "formats/encoding/json_events.h"

namespace ckpt::formats::keras {
namespace {

constexpr unsigned kMaxJsonDepth = 127;
constexpr std::size_t kMaxShards = 4096;  // each is a file and a process

//   depth 0: {   depth 1: "weight_map", {   depth 2: group, file or [   depth 3: file
class MapParser {
 public:
  MapParser(const std::string& file, const Limits& limits) : file_(file), limits_(limits) {}

  Status On(const JsonEvent& event) {
    if (event.depth == 0) {
      if (event.kind == JsonKind::kBeginObject || event.kind == JsonKind::kEndObject) return {};
      return Corrupt(event.offset, "the index is no object");
    }
    if (event.depth == 1 && event.kind == JsonKind::kKey) {
      in_map_ = event.text == "weight_map";
      if (in_map_ && std::exchange(has_map_, true)) {
        return Corrupt(event.offset, "the index has weight_map twice");
      }
      return {};
    }
    return in_map_ ? OnMap(event) : Status();
  }

  bool has_map() const noexcept { return has_map_; }
  ShardMap Take() { return std::move(map_); }

 private:
  tl::unexpected<Error> Corrupt(std::uint64_t offset, std::string message) const {
    return Fail(Error{ErrorCode::kCorrupt, std::move(message)}.In(file_).At(offset));
  }

  Status OnMap(const JsonEvent& event) {
    if (event.depth == 1) {
      if (event.kind == JsonKind::kBeginObject || event.kind == JsonKind::kEndObject) return {};
      return Corrupt(event.offset, "weight_map is no object");
    }
    if (event.depth == 2 && event.kind == JsonKind::kKey) {
      if (event.text.size() > limits_.name_bytes || map_.groups.size() >= limits_.tensors) {
        return Fail(Error{ErrorCode::kLimitExceeded, "weight_map has too many or too long names"}
                        .In(file_)
                        .At(event.offset));
      }
      if (!names_.insert(std::string(event.text)).second) {
        return Corrupt(event.offset, "weight_map has \"" + std::string(event.text) + "\" twice");
      }
      map_.groups.push_back({std::string(event.text), {}, event.offset});
      return {};
    }
    if (event.depth == 2 &&
        (event.kind == JsonKind::kBeginArray || event.kind == JsonKind::kEndArray)) {
      return {};
    }
    if (event.depth > 3 || event.kind != JsonKind::kString || map_.groups.empty()) {
      return Corrupt(event.offset, "weight_map names no file here");
    }
    return AddShard(event);
  }

  Status AddShard(const JsonEvent& event) {
    const auto [place, added] = numbers_.try_emplace(
        std::string(event.text), static_cast<std::uint32_t>(map_.shards.size()));
    if (added) {
      if (map_.shards.size() >= kMaxShards) {
        return Fail(
            Error{ErrorCode::kLimitExceeded, "the index names too many shards"}.In(file_).At(
                event.offset));
      }
      map_.shards.emplace_back(event.text);
    }
    map_.groups.back().shards.push_back(place->second);
    return {};
  }

  const std::string& file_;
  const Limits& limits_;
  ShardMap map_;
  std::unordered_map<std::string, std::uint32_t> numbers_;
  std::unordered_set<std::string> names_;
  bool in_map_ = false, has_map_ = false;
};

}  // namespace

Result<ShardMap> ReadShardMap(const RandomAccessFile& file, const Limits& limits) {
  CKPT_ASSIGN_OR_RETURN(const std::string json, ReadWhole(file, limits.metadata_bytes));
  MapParser parser(file.path(), limits);
  CKPT_RETURN_IF_ERROR(ParseJson({json, 0, file.path()}, kMaxJsonDepth,
                                 [&](const JsonEvent& event) { return parser.On(event); }));
  if (!parser.has_map()) {
    return Fail(Error{ErrorCode::kCorrupt, "the index has no weight_map"}.In(file.path()));
  }
  return parser.Take();
}

}  // namespace ckpt::formats::keras
