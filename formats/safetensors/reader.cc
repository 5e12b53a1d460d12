#include <algorithm>
#include <array>
#include <utility>

#include "formats/container/range_stream.h"
#include "formats/container/shard_index.h"
#include "formats/encoding/byte_reader.h"
#include "formats/encoding/json_events.h"
#include "formats/safetensors/header.h"
#include "formats/safetensors/safetensors.h"

namespace ckpt::formats {
namespace {

constexpr std::string_view kSuffix = ".safetensors";
constexpr std::string_view kIndexSuffix = ".safetensors.index.json";
using SharedFile = std::shared_ptr<const RandomAccessFile>;

// Where the bytes of a tensor are; `file` is null where they cannot be had.
struct FilePlace {
  SharedFile file;
  std::uint64_t offset = 0;
};

struct Placed {
  TensorInfo info;
  FilePlace place;
};

class SafetensorsCheckpoint : public Checkpoint {
 public:
  // `places` are as manifest.tensors.
  SafetensorsCheckpoint(Manifest manifest, std::vector<FilePlace> places)
      : manifest_(std::move(manifest)), places_(std::move(places)) {}

  std::string_view format() const noexcept override { return "safetensors"; }
  const Manifest& manifest() const noexcept override { return manifest_; }
  Result<std::unique_ptr<TensorStream>> Open(TensorId id) const override {
    const TensorInfo& info = manifest_.tensors[id.index];
    const FilePlace& place = places_[id.index];
    if (!info.data_present) return Fail(WhyAbsent(manifest_, id));
    return StreamRange(place.file, place.offset, info.byte_size, info.name);
  }

 private:
  Manifest manifest_;
  std::vector<FilePlace> places_;
};

// "pt" and "tf" are what the framework's own bridges write; the other values name no framework
// whose layouts are known here.
std::optional<Framework> RecordedFramework(const std::map<std::string, std::string>& metadata) {
  const auto format = metadata.find("format");
  if (format == metadata.end()) return std::nullopt;
  if (format->second == "pt") return Framework::kPyTorch;
  if (format->second == "tf") return Framework::kTensorFlow;
  return std::nullopt;
}

Placed Place(HeaderTensor&& stored, const SharedFile& file, std::uint64_t data_start) {
  Placed placed;
  placed.info.stored_as = stored.name;
  placed.info.name = std::move(stored.name);
  placed.info.dtype = stored.dtype;
  placed.info.shape = std::move(stored.shape);
  placed.info.byte_size = stored.end - stored.begin;
  placed.info.data_file = file->path();
  placed.place = {file, data_start + stored.begin};
  return placed;
}

Result<std::unique_ptr<Checkpoint>> OpenOneFile(std::unique_ptr<RandomAccessFile> opened,
                                                const std::string& path, const Limits& limits) {
  const SharedFile file = std::move(opened);
  CKPT_ASSIGN_OR_RETURN(SafetensorsHeader header, ReadSafetensorsHeader(*file, limits));
  Manifest manifest;
  std::vector<FilePlace> places;
  manifest.tensors.reserve(header.tensors.size());
  places.reserve(header.tensors.size());
  for (HeaderTensor& stored : header.tensors) {
    Placed placed = Place(std::move(stored), file, header.data_start);
    manifest.tensors.push_back(std::move(placed.info));
    places.push_back(std::move(placed.place));
  }
  manifest.resolved = path;
  manifest.files = {path};
  manifest.framework = RecordedFramework(header.metadata);
  manifest.metadata = std::move(header.metadata);
  return std::unique_ptr<Checkpoint>(
      std::make_unique<SafetensorsCheckpoint>(std::move(manifest), std::move(places)));
}

// Brings what an index promises together with what its shards hold.
class ShardedSet {
 public:
  ShardedSet(const Files& files, std::filesystem::path path, const Limits& limits, ShardIndex index)
      : files_(files), path_(std::move(path)), limits_(limits), index_(std::move(index)) {}

  Result<std::unique_ptr<Checkpoint>> Open() {
    infos_.resize(index_.tensors.size());
    places_.resize(index_.tensors.size());
    for (std::size_t i = 0; i < infos_.size(); ++i) {
      TensorInfo& info = infos_[i];
      info.name = info.stored_as = index_.tensors[i].name;
      info.dtype = Dtype::kVoid;
      info.data_present = false;
      info.data_file = ShardPath(index_.tensors[i].shard);
    }
    const std::vector<std::vector<std::uint32_t>> promised = TensorsByShard();
    for (std::uint32_t shard = 0; shard < index_.shards.size(); ++shard) {
      CKPT_RETURN_IF_ERROR(AddShard(shard, promised[shard]));
    }
    return Finish();
  }

 private:
  // A fault and the tensors it hits, by their names: ids are known once all names are.
  struct Fault {
    Error error;
    std::vector<std::string> tensors;
  };

  std::string ShardPath(std::uint32_t shard) const {
    return (path_.parent_path() / index_.shards[shard]).string();
  }

  std::vector<std::vector<std::uint32_t>> TensorsByShard() const {
    std::vector<std::vector<std::uint32_t>> promised(index_.shards.size());
    for (std::uint32_t i = 0; i < index_.tensors.size(); ++i) {
      promised[index_.tensors[i].shard].push_back(i);
    }
    return promised;
  }

  // `promised`: indices into index_.tensors that the index places in this shard.
  Status AddShard(std::uint32_t shard, const std::vector<std::uint32_t>& promised) {
    auto opened = files_.OpenBeneath(path_.parent_path(), index_.shards[shard]);
    if (!opened && opened.error().code == ErrorCode::kUnsafe) {
      const ShardEntry& entry = index_.tensors[promised.front()];
      return Fail(
          Error{ErrorCode::kUnsafe,
                "its shard \"" + index_.shards[shard] + "\" is refused: " + opened.error().message,
                path_.string(), entry.key_offset, entry.name});
    }
    if (!opened) {
      AddLostShard(std::move(opened).error(), promised);
      return {};
    }
    const SharedFile file = *std::move(opened);
    present_.push_back(file->path());
    auto header = ReadSafetensorsHeader(*file, limits_);
    if (!header) {
      AddLostShard(std::move(header).error(), promised);
      return {};
    }
    for (HeaderTensor& stored : header->tensors) {
      AddTensor(shard, std::move(stored), file, header->data_start);
    }
    for (const std::uint32_t i : promised) {
      if (places_[i].file != nullptr) continue;
      const std::string& name = index_.tensors[i].name;
      faults_.push_back(
          {{ErrorCode::kCorrupt,
            "the index places it in " + index_.shards[shard] + ", which does not hold it",
            path_.string(), index_.tensors[i].key_offset, name},
           {name}});
    }
    metadata_.merge(header->metadata);  // what differs between shards stays as the first has it
    return {};
  }

  void AddLostShard(Error error, const std::vector<std::uint32_t>& promised) {
    Fault fault{std::move(error), {}};
    for (const std::uint32_t i : promised) fault.tensors.push_back(index_.tensors[i].name);
    faults_.push_back(std::move(fault));
  }

  void AddTensor(std::uint32_t shard, HeaderTensor&& stored, const SharedFile& file,
                 std::uint64_t data_start) {
    const auto entry = std::lower_bound(
        index_.tensors.begin(), index_.tensors.end(), stored.name,
        [](const ShardEntry& e, const std::string& name) { return e.name < name; });
    const bool known = entry != index_.tensors.end() && entry->name == stored.name;
    if (known && entry->shard == shard) {
      const auto i = static_cast<std::size_t>(entry - index_.tensors.begin());
      Placed placed = Place(std::move(stored), file, data_start);
      infos_[i] = std::move(placed.info);
      places_[i] = std::move(placed.place);
      return;
    }
    const std::string message =
        known ? "is also in this shard; the index places it in " + index_.shards[entry->shard]
              : "is in this shard and not in the index";
    faults_.push_back(
        {{ErrorCode::kCorrupt, message, file->path(), stored.key_offset, stored.name}, {}});
    if (!known) unlisted_.push_back(Place(std::move(stored), file, data_start));
  }

  std::unique_ptr<Checkpoint> Finish() {
    AddUnlisted();
    Manifest manifest;
    manifest.resolved = path_.string();
    manifest.files = std::move(present_);
    manifest.files.insert(manifest.files.begin(), path_.string());
    manifest.note = SizeNote();
    index_ = {};  // a million names take their room
    manifest.framework = RecordedFramework(metadata_);
    manifest.metadata = std::move(metadata_);
    for (Fault& fault : faults_) {
      Problem problem{std::move(fault.error), {}};
      for (const std::string& name : fault.tensors) problem.tensors.push_back(IdOf(name));
      manifest.problems.push_back(std::move(problem));
    }
    manifest.tensors = std::move(infos_);
    return std::make_unique<SafetensorsCheckpoint>(std::move(manifest), std::move(places_));
  }

  // Tensors that no line of the index speaks of; the first shard that holds a name keeps it.
  void AddUnlisted() {
    const auto by_name = [](const Placed& a, const Placed& b) { return a.info.name < b.info.name; };
    const auto same_name = [](const Placed& a, const Placed& b) {
      return a.info.name == b.info.name;
    };
    std::stable_sort(unlisted_.begin(), unlisted_.end(), by_name);
    unlisted_.erase(std::unique(unlisted_.begin(), unlisted_.end(), same_name), unlisted_.end());
    if (unlisted_.empty()) return;
    std::vector<Placed> all;
    for (std::size_t i = 0; i < infos_.size(); ++i) {
      all.push_back({std::move(infos_[i]), std::move(places_[i])});
    }
    const auto middle = static_cast<std::ptrdiff_t>(all.size());
    std::move(unlisted_.begin(), unlisted_.end(), std::back_inserter(all));
    std::inplace_merge(all.begin(), all.begin() + middle, all.end(), by_name);
    infos_.clear();
    places_.clear();
    for (Placed& placed : all) {
      infos_.push_back(std::move(placed.info));
      places_.push_back(std::move(placed.place));
    }
  }

  TensorId IdOf(const std::string& name) const {
    const auto found = std::lower_bound(
        infos_.begin(), infos_.end(), name,
        [](const TensorInfo& info, const std::string& key) { return info.name < key; });
    return {static_cast<std::uint32_t>(found - infos_.begin())};
  }

  // Empty unless every tensor is there and the index gives another sum.
  std::string SizeNote() const {
    const auto stated = index_.metadata.find("total_size");
    if (stated == index_.metadata.end() || !faults_.empty()) return {};
    std::uint64_t sum = 0;
    for (const TensorInfo& info : infos_) sum += info.byte_size;
    if (stated->second == std::to_string(sum)) return {};
    return "the index gives a total_size of " + stated->second + " bytes; its tensors have " +
           std::to_string(sum);
  }

  const Files& files_;
  std::filesystem::path path_;
  const Limits& limits_;
  ShardIndex index_;
  std::vector<TensorInfo> infos_;  // as index_.tensors; at last in the order of the manifest
  std::vector<FilePlace> places_;  // as infos_
  std::vector<Placed> unlisted_;
  std::vector<std::string> present_;  // paths of the shards that are there
  std::vector<Fault> faults_;
  std::map<std::string, std::string> metadata_;
};

std::string_view AsText(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// An index is JSON text. A safetensors file starts with a size that has a zero among its bytes, or
// is far beyond what the format allows.
bool LooksLikeIndex(std::span<const std::byte> head) {
  const std::string_view text = AsText(head);
  const std::size_t start = SkipJsonSpace(text);
  return start < text.size() && text[start] == '{' &&
         text.substr(0, 8).find('\0') == std::string_view::npos;
}

Match ProbeIndex(const ProbeInput& input) {
  constexpr std::string_view kKey = "\"weight_map\"";
  // PyTorch and Keras have indices of this form too; theirs name other files.
  constexpr std::string_view kOtherShards[] = {".bin\"", ".weights.h5\""};
  const auto shown = [&](std::string_view text) {
    return AsText(input.head).find(text) != std::string_view::npos ||
           AsText(input.tail).find(text) != std::string_view::npos;
  };
  if (shown(kKey)) {
    return std::any_of(std::begin(kOtherShards), std::end(kOtherShards), shown) ? Match::kNo
                                                                                : Match::kCertain;
  }
  return input.file_name.ends_with(kIndexSuffix) ? Match::kLikely : Match::kNo;
}

}  // namespace

Match ProbeSafetensors(const ProbeInput& input) {
  const Match by_suffix = input.file_name.ends_with(kSuffix) ? Match::kLikely : Match::kNo;
  if (LooksLikeIndex(input.head)) return std::max(by_suffix, ProbeIndex(input));
  if (input.head.size() < 8) return by_suffix;
  const std::uint64_t size = ByteReader(input.head).U64();
  if (size > kMaxSafetensorsHeader || !RangeFits(8, size, input.file_size)) return by_suffix;
  const std::string_view json =
      AsText(input.head).substr(8, static_cast<std::size_t>(std::min<std::uint64_t>(size, 512)));
  const std::size_t brace = SkipJsonSpace(json);
  if (brace == json.size() || json[brace] != '{') return by_suffix;
  const std::string_view rest = json.substr(brace + 1);
  const std::size_t next = SkipJsonSpace(rest);
  const bool certain = next < rest.size() && (rest[next] == '"' || rest[next] == '}');
  return certain ? Match::kCertain : by_suffix;
}

Result<std::unique_ptr<Checkpoint>> OpenSafetensors(const Files& files,
                                                    const std::filesystem::path& path,
                                                    const Limits& limits) {
  CKPT_ASSIGN_OR_RETURN(std::unique_ptr<RandomAccessFile> file, files.Open(path));
  std::array<std::byte, 512> bytes;
  const auto head = std::span(bytes).first(
      static_cast<std::size_t>(std::min<std::uint64_t>(file->size(), bytes.size())));
  CKPT_RETURN_IF_ERROR(file->ReadAt(0, head));
  if (!LooksLikeIndex(head)) return OpenOneFile(std::move(file), path.string(), limits);
  CKPT_ASSIGN_OR_RETURN(ShardIndex index, ReadShardIndex(*file, limits));
  return ShardedSet(files, path, limits, std::move(index)).Open();
}

Result<std::optional<std::string>> ResolveSafetensorsFolder(const Files& files,
                                                            const std::filesystem::path& folder) {
  CKPT_ASSIGN_OR_RETURN(const std::vector<std::string> names, files.List(folder));
  for (const std::string_view suffix : {kIndexSuffix, kSuffix}) {
    std::vector<std::string> found;
    for (const std::string& name : names) {
      if (name == "model.safetensors.index.json") return std::optional(name);
      if (name.ends_with(suffix) && !name.starts_with('.')) found.push_back(name);
    }
    if (found.size() == 1) return std::optional(found.front());
    if (found.size() < 2) continue;
    std::string list;
    for (std::size_t i = 0; i < found.size() && i < 5; ++i) list += (i == 0 ? "" : ", ") + found[i];
    if (found.size() > 5) list += ", ...";
    return Fail(Error{ErrorCode::kInvalidArgument, "holds " + std::to_string(found.size()) +
                                                       " files that could be meant (" + list +
                                                       "): name one of them"}
                    .In(folder.string()));
  }
  return std::optional<std::string>();
}

Result<std::optional<ResolvedPath>> ResolveSafetensors(const Files& files,
                                                       const std::string& path) {
  if (!files.IsDirectory(path)) return std::optional<ResolvedPath>();
  CKPT_ASSIGN_OR_RETURN(const auto file, ResolveSafetensorsFolder(files, path));
  if (!file) return std::optional<ResolvedPath>();
  return FileOfFolder(path, *file);
}

}  // namespace ckpt::formats
