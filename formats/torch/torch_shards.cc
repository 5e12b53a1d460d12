#include "formats/torch/torch_shards.h"

#include <algorithm>
#include <map>
#include <utility>

#include "formats/container/shard_index.h"
#include "formats/torch/archive_reader.h"
#include "formats/torch/legacy_reader.h"

namespace ckpt::formats {
namespace {

struct Placed {
  TensorInfo info;
  const Checkpoint* shard = nullptr;  // null where the bytes cannot be had
  TensorId id{0};                     // in that shard
};

class ShardedTorch : public Checkpoint {
 public:
  ShardedTorch(Manifest manifest, std::vector<std::unique_ptr<Checkpoint>> shards,
               std::vector<Placed> placed)
      : manifest_(std::move(manifest)), shards_(std::move(shards)), placed_(std::move(placed)) {}

  std::string_view format() const noexcept override { return "torch"; }
  const Manifest& manifest() const noexcept override { return manifest_; }
  Result<std::unique_ptr<TensorStream>> Open(TensorId id) const override {
    const Placed& tensor = placed_[id.index];
    if (tensor.shard == nullptr) return Fail(WhyAbsent(manifest_, id));
    return tensor.shard->Open(tensor.id);
  }

 private:
  Manifest manifest_;
  std::vector<std::unique_ptr<Checkpoint>> shards_;
  std::vector<Placed> placed_;
};

Result<std::unique_ptr<Checkpoint>> OpenShard(std::unique_ptr<RandomAccessFile> file,
                                              const Limits& limits) {
  std::vector<std::byte> head(static_cast<std::size_t>(std::min<std::uint64_t>(file->size(), 64)));
  CKPT_RETURN_IF_ERROR(file->ReadAt(0, head));
  if (StartsLikeLegacyTorch(head)) return OpenLegacyTorch(std::move(file), limits);
  return OpenTorchArchive(std::move(file), limits);
}

class ShardSet {
 public:
  ShardSet(const Files& files, std::filesystem::path path, const Limits& limits, ShardIndex index)
      : files_(files), path_(std::move(path)), limits_(limits), index_(std::move(index)) {}

  Result<std::unique_ptr<Checkpoint>> Open() {
    manifest_.resolved = path_.string();
    manifest_.files = {path_.string()};
    manifest_.framework = Framework::kPyTorch;
    for (const auto& [key, value] : index_.metadata) manifest_.metadata[key] = value;
    for (const ShardEntry& entry : index_.tensors) {
      Placed placed;
      placed.info.name = placed.info.stored_as = entry.name;
      placed.info.dtype = Dtype::kVoid;
      placed.info.data_present = false;
      placed.info.data_file = (path_.parent_path() / index_.shards[entry.shard]).string();
      placed_.emplace(entry.name, std::move(placed));
    }
    std::vector<std::vector<std::string>> promised(index_.shards.size());
    for (const ShardEntry& entry : index_.tensors) promised[entry.shard].push_back(entry.name);
    for (std::uint32_t shard = 0; shard < index_.shards.size(); ++shard) {
      CKPT_RETURN_IF_ERROR(AddShard(shard, std::move(promised[shard])));
    }
    return Finish();
  }

 private:
  // A fault and the tensors it hits, by their names.
  struct Fault {
    Error error;
    std::vector<std::string> tensors;
  };

  // `promised`: names that the index places in this shard.
  Status AddShard(std::uint32_t shard, std::vector<std::string> promised) {
    auto file = files_.OpenBeneath(path_.parent_path(), index_.shards[shard]);
    if (!file && file.error().code == ErrorCode::kUnsafe) {
      return Fail(Error{ErrorCode::kUnsafe, "its shard \"" + index_.shards[shard] +
                                                "\" is refused: " + file.error().message}
                      .In(path_.string())
                      .Of(promised.empty() ? "" : promised.front()));
    }
    if (!file) {
      faults_.push_back({std::move(file).error(), std::move(promised)});
      return {};
    }
    manifest_.files.push_back((*file)->path());
    auto opened = OpenShard(*std::move(file), limits_);
    if (!opened) {
      faults_.push_back({std::move(opened).error(), std::move(promised)});
      return {};
    }
    AddTensors(shard, **opened);
    for (const std::string& function : (*opened)->manifest().runs_on_load) {
      auto& all = manifest_.runs_on_load;
      if (std::find(all.begin(), all.end(), function) == all.end()) all.push_back(function);
    }
    for (const std::string& name : promised) {
      if (placed_.at(name).shard != nullptr || lost_.count(name) != 0) continue;
      faults_.push_back(
          {Error{ErrorCode::kCorrupt,
                 "the index places it in " + index_.shards[shard] + ", which does not hold it"}
               .In(path_.string())
               .Of(name),
           {name}});
    }
    shards_.push_back(*std::move(opened));
    return {};
  }

  void AddTensors(std::uint32_t shard, const Checkpoint& opened) {
    const Manifest& manifest = opened.manifest();
    if (!manifest.note.empty() && manifest_.note.find(manifest.note) == std::string::npos) {
      manifest_.note += (manifest_.note.empty() ? "" : "; ") + manifest.note;
    }
    for (std::uint32_t i = 0; i < manifest.tensors.size(); ++i) {
      TensorInfo info = manifest.tensors[i];
      info.slot_of = info.alias_of = std::nullopt;  // numbers of that shard
      const auto entry = std::lower_bound(
          index_.tensors.begin(), index_.tensors.end(), info.name,
          [](const ShardEntry& e, const std::string& name) { return e.name < name; });
      const bool known = entry != index_.tensors.end() && entry->name == info.name;
      if (!known || entry->shard != shard) {
        faults_.push_back(
            {Error{ErrorCode::kCorrupt, known ? "is also in this shard; the index places it in " +
                                                    index_.shards[entry->shard]
                                              : "is in this shard and not in the index"}
                 .In(info.data_file)
                 .Of(info.name),
             {}});
        if (known || placed_.count(info.name) != 0) continue;
      }
      if (!info.data_present) {
        lost_[info.name] = true;
        faults_.push_back({WhyAbsent(manifest, TensorId{i}), {info.name}});
        placed_[info.name].info = std::move(info);
        continue;
      }
      Placed& placed = placed_[info.name];
      placed.info = std::move(info);
      placed.shard = &opened;
      placed.id = TensorId{i};
    }
  }

  std::unique_ptr<Checkpoint> Finish() {
    std::vector<Placed> placed;
    std::map<std::string, std::uint32_t> ids;
    for (auto& [name, tensor] : placed_) {
      ids.emplace(name, static_cast<std::uint32_t>(placed.size()));
      manifest_.tensors.push_back(tensor.info);
      placed.push_back(std::move(tensor));
    }
    for (Fault& fault : faults_) {
      Problem problem{std::move(fault.error), {}};
      for (const std::string& name : fault.tensors) problem.tensors.push_back({ids.at(name)});
      manifest_.problems.push_back(std::move(problem));
    }
    return std::make_unique<ShardedTorch>(std::move(manifest_), std::move(shards_),
                                          std::move(placed));
  }

  const Files& files_;
  std::filesystem::path path_;
  const Limits& limits_;
  ShardIndex index_;
  Manifest manifest_;
  std::map<std::string, Placed> placed_;  // by name
  std::map<std::string, bool> lost_;      // in their shard, but without their bytes
  std::vector<std::unique_ptr<Checkpoint>> shards_;
  std::vector<Fault> faults_;
};

}  // namespace

Result<std::unique_ptr<Checkpoint>> OpenTorchShards(const Files& files,
                                                    const RandomAccessFile& index,
                                                    const std::filesystem::path& path,
                                                    const Limits& limits) {
  CKPT_ASSIGN_OR_RETURN(ShardIndex read, ReadShardIndex(index, limits));
  return ShardSet(files, path, limits, std::move(read)).Open();
}

}  // namespace ckpt::formats
