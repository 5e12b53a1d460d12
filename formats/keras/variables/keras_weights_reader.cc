#include <algorithm>
#include <array>

#include "formats/keras/model/given_config.h"
#include "formats/keras/variables/described_model.h"
#include "formats/keras/variables/keras_weights.h"
#include "formats/keras/variables/shard_map.h"
#include "formats/keras/variables/shard_writer.h"
#include "formats/keras/variables/variable_checkpoint.h"

namespace ckpt::formats {
namespace {

constexpr std::string_view kWeightsSuffix = ".weights.h5";

std::string_view AsText(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

bool StartsLikeObject(std::span<const std::byte> head) {
  const std::string_view text = AsText(head);
  const std::size_t at = text.find_first_not_of(" \t\r\n");
  return at != std::string_view::npos && text[at] == '{';
}

// By `config`, which may be null.
keras::VariableManifest Described(const keras::VariableStore& store, const std::string& path,
                                  const std::vector<std::string>& paths,
                                  const keras::GivenConfig* config) {
  keras::VariableManifest described =
      config ? keras::DescribeModel(store, paths, config->text, config->version)
             : keras::DescribeVariables(store, paths, nullptr, 3);
  Manifest& manifest = described.manifest;
  if (config) {
    manifest.documents.push_back({config->archived ? "config.json" : "model_config", config->text});
    if (manifest.graph) manifest.graph->source += " of " + config->path;
  }
  // Only Keras 3 records the names of its objects.
  if (!config &&
      std::any_of(store.groups.begin(), store.groups.end(),
                  [](const keras::VariableGroup& group) { return group.name.has_value(); })) {
    manifest.framework_version = "3";
  }
  manifest.resolved = path;
  manifest.framework = Framework::kKeras;
  return described;
}

Result<std::unique_ptr<Checkpoint>> OpenShards(const Files& files, const RandomAccessFile& index,
                                               const Limits& limits,
                                               const keras::GivenConfig* config) {
  CKPT_ASSIGN_OR_RETURN(const keras::ShardMap map, keras::ReadShardMap(index, limits));
  const std::filesystem::path folder = std::filesystem::path(index.path()).parent_path();
  std::vector<std::unique_ptr<Hdf5File>> shards;
  std::vector<std::string> paths;
  std::vector<Problem> problems;
  std::vector<std::optional<std::size_t>> opened(map.shards.size());  // in `shards`
  for (std::size_t i = 0; i < map.shards.size(); ++i) {
    auto file = files.OpenBeneath(folder, map.shards[i]);
    if (!file) {
      if (file.error().code != ErrorCode::kNotFound) return Fail(file);
      Error error = file.error();
      error.message = "the shard is absent";
      problems.push_back({std::move(error), {}});
      continue;
    }
    paths.push_back((*file)->path());
    CKPT_ASSIGN_OR_RETURN(auto hdf5, Hdf5File::Open(*std::move(file), limits));
    opened[i] = shards.size();
    shards.push_back(std::move(hdf5));
  }
  CKPT_ASSIGN_OR_RETURN(const keras::VariableStore store, keras::CollectVariables(shards));
  for (const keras::ShardMap::Entry& entry : map.groups) {
    for (const std::uint32_t shard : entry.shards) {
      if (!opened[shard] || shards[*opened[shard]]->Find(entry.group)) continue;
      return Fail(Error{ErrorCode::kCorrupt, "weight_map puts the group \"" + entry.group +
                                                 "\" into " + map.shards[shard] +
                                                 ", which does not hold it"}
                      .In(index.path())
                      .At(entry.offset));
    }
  }
  keras::VariableManifest described = Described(store, index.path(), paths, config);
  Manifest& manifest = described.manifest;
  for (Problem& problem : problems) manifest.problems.push_back(std::move(problem));
  manifest.files = {index.path()};
  manifest.files.insert(manifest.files.end(), paths.begin(), paths.end());
  return std::make_unique<keras::VariableCheckpoint>("keras-weights", std::move(shards),
                                                     std::move(described));
}

Result<std::unique_ptr<Checkpoint>> OpenOne(std::unique_ptr<Hdf5File> file,
                                            const keras::GivenConfig* config) {
  std::vector<std::unique_ptr<Hdf5File>> files;
  files.push_back(std::move(file));
  CKPT_ASSIGN_OR_RETURN(const keras::VariableStore store, keras::CollectVariables(files));
  const std::string path = files[0]->file().path();
  keras::VariableManifest described = Described(store, path, {path}, config);
  described.manifest.files = {path};
  return std::make_unique<keras::VariableCheckpoint>("keras-weights", std::move(files),
                                                     std::move(described));
}

Result<std::unique_ptr<Checkpoint>> OpenAny(const Files& files, const std::filesystem::path& path,
                                            const Limits& limits,
                                            const keras::GivenConfig* config) {
  CKPT_ASSIGN_OR_RETURN(std::unique_ptr<RandomAccessFile> opened, files.Open(path));
  const std::shared_ptr<const RandomAccessFile> file = std::move(opened);
  std::array<std::byte, 16> bytes{};
  const auto head = std::span(bytes).first(
      static_cast<std::size_t>(std::min<std::uint64_t>(file->size(), bytes.size())));
  CKPT_RETURN_IF_ERROR(file->ReadAt(0, head));
  if (StartsLikeObject(head)) return OpenShards(files, *file, limits, config);
  CKPT_ASSIGN_OR_RETURN(auto hdf5, Hdf5File::Open(file, limits));
  if (!keras::HoldsVariableGroups(*hdf5)) {
    return Fail(
        Error{ErrorCode::kUnfit, "is an HDF5 file without the groups \"vars\" of Keras 3"}.In(
            file->path()));
  }
  return OpenOne(std::move(hdf5), config);
}

}  // namespace

Match ProbeKerasWeights(const ProbeInput& input) {
  if (!StartsLikeObject(input.head)) return Match::kNo;
  const auto shows = [&](std::string_view text) {
    return AsText(input.head).find(text) != std::string_view::npos ||
           AsText(input.tail).find(text) != std::string_view::npos;
  };
  if (shows("\"weight_map\"") && shows(std::string(kWeightsSuffix) + "\"")) return Match::kCertain;
  return input.file_name.ends_with(keras::kSetSuffix) ? Match::kLikely : Match::kNo;
}

Result<std::unique_ptr<Checkpoint>> DescribeKerasWeights(std::unique_ptr<Hdf5File> file) {
  return OpenOne(std::move(file), nullptr);
}

Result<std::unique_ptr<Checkpoint>> OpenKerasWeights(const Files& files,
                                                     const std::filesystem::path& path,
                                                     const Limits& limits) {
  return OpenAny(files, path, limits, nullptr);
}

Result<std::unique_ptr<Checkpoint>> OpenKerasWeightsOf(const Files& files,
                                                       const std::filesystem::path& path,
                                                       const Limits& limits,
                                                       const Manifest& model) {
  const auto config = keras::ConfigOf(model);
  if (!config) return nullptr;
  CKPT_ASSIGN_OR_RETURN(auto opened, OpenAny(files, path, limits, &*config));
  return opened;
}

}  // namespace ckpt::formats
