#include "formats/tf_graph/saved_model.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <unordered_map>
#include <utility>
#include <vector>

#include "ckpt/serving_network.h"
#include "formats/tf_bundle/tf_bundle.h"
#include "formats/tf_graph/graph_checkpoint.h"
#include "formats/tf_graph/graph_kind.h"
#include "formats/tf_graph/graph_tensors.h"
#include "formats/tf_graph/merged_tensors.h"
#include "formats/tf_graph/read_op_graph.h"
#include "formats/tf_graph/tensor_value.h"

namespace ckpt::formats {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 2> kGraphNames = {"saved_model.pb", "saved_model.pbtxt"};

// The graph file of a SavedModel folder; nothing where it has none.
std::optional<fs::path> GraphFileIn(const Files& files, const fs::path& folder) {
  for (const std::string_view name : kGraphNames) {
    const fs::path path = folder / name;
    if (files.Exists(path) && !files.IsDirectory(path)) return path;
  }
  return std::nullopt;
}

constexpr std::string_view kChunkedName = "saved_model.cpb";

// A graph above 2 GiB, in chunks of the proto_splitter.
Error Chunked(const fs::path& path) {
  return Error{
      ErrorCode::kUnsupported,
      "is the graph of a SavedModel in chunks, which is not read; loaded with TensorFlow and "
      "saved again as one file it is: tf.saved_model.save(model, folder, options="
      "tf.saved_model.SaveOptions(experimental_image_format=False))"}
      .In(path.string());
}

std::optional<std::uint64_t> VersionOf(const std::string& name) {
  std::uint64_t version = 0;
  const auto [end, failed] = std::from_chars(name.data(), name.data() + name.size(), version);
  if (failed != std::errc() || end != name.data() + name.size()) return std::nullopt;
  return version;
}

// The bundle of variables with the graph that they belong to, and the constants of the graph that
// are too large to stand in it.
class SavedModelCheckpoint : public Checkpoint {
 public:
  SavedModelCheckpoint(std::unique_ptr<Checkpoint> variables, std::vector<MergedPlace> places,
                       Manifest manifest, const Limits& limits)
      : variables_(std::move(variables)),
        places_(std::move(places)),
        manifest_(std::move(manifest)),
        record_(std::static_pointer_cast<const TfGraphRecord>(manifest_.ops->file_record)),
        limits_(limits) {}
  std::string_view format() const noexcept override { return "saved-model"; }
  const Manifest& manifest() const noexcept override { return manifest_; }
  Result<std::unique_ptr<TensorStream>> Open(TensorId id) const override {
    const MergedPlace& place = places_[id.index];
    if (place.constant == nullptr) return variables_->Open(place.variable);
    return StreamGraphTensor(record_, *place.constant, limits_, manifest_.tensors[id.index].name);
  }
  Result<network::Network> MakeNetwork() const override { return NetworkOverSource(*this, {}); }

 private:
  std::unique_ptr<Checkpoint> variables_;
  std::vector<MergedPlace> places_;  // by tensor
  Manifest manifest_;
  std::shared_ptr<const TfGraphRecord> record_;
  Limits limits_;
};

// By the key in the bundle, else by the name.
void MarkTrainable(const OpGraph& graph, Manifest& manifest) {
  std::unordered_map<std::string_view, bool> by_key;
  for (const OpVariable& variable : graph.variables) {
    if (!variable.from_object_graph || !variable.trainable) continue;
    by_key.emplace(variable.checkpoint_key.empty() ? variable.name : variable.checkpoint_key,
                   *variable.trainable);
  }
  for (TensorInfo& info : manifest.tensors) {
    const auto found = by_key.find(info.stored_as);
    if (found != by_key.end()) info.trainable = found->second;
  }
}

void AddNote(std::string text, Manifest& manifest) {
  manifest.note += (manifest.note.empty() ? "" : "; ") + std::move(text);
}

std::string TagsToText(const std::vector<std::string>& tags) {
  std::string text;
  for (const std::string& tag : tags) text += (text.empty() ? "" : ", ") + tag;
  return text.empty() ? "nothing" : text;
}

std::string NoteOfGraphs(const OpGraph& graph) {
  if (graph.other_graphs.empty()) return {};
  std::string others;
  for (const auto& tags : graph.other_graphs)
    others += (others.empty() ? "" : "; ") + TagsToText(tags);
  return "holds " + std::to_string(graph.other_graphs.size() + 1) +
         " graphs, of which the one tagged " + TagsToText(graph.tags) +
         " is read; not read, by their tags: " + others;
}

}  // namespace

Result<std::optional<ResolvedPath>> ResolveSavedModel(const Files& files, const std::string& path) {
  if (!files.IsDirectory(path)) {
    const std::string name = fs::path(path).filename().string();
    if (name == kChunkedName && files.Exists(path)) return Fail(Chunked(path));
    const bool named = std::find(kGraphNames.begin(), kGraphNames.end(), name) != kGraphNames.end();
    if (!named || !files.Exists(path)) return std::optional<ResolvedPath>();
    const std::string folder = fs::path(path).parent_path().string();
    return ResolvedPath{folder.empty() ? "." : folder};
  }
  if (GraphFileIn(files, path)) return ResolvedPath{path};
  if (files.Exists(fs::path(path) / kChunkedName))
    return Fail(Chunked(fs::path(path) / kChunkedName));
  const auto names = files.List(path);
  if (!names) return std::optional<ResolvedPath>();
  std::vector<std::pair<std::uint64_t, std::string>> versions;
  for (const std::string& name : *names) {
    const auto version = VersionOf(name);
    const fs::path folder = fs::path(path) / name;
    const bool model = GraphFileIn(files, folder) || files.Exists(folder / kChunkedName);
    if (version && model) versions.emplace_back(*version, name);
  }
  if (versions.empty()) return std::optional<ResolvedPath>();
  const auto& highest = *std::max_element(versions.begin(), versions.end());
  const fs::path taken = fs::path(path) / highest.second;
  if (!GraphFileIn(files, taken)) return Fail(Chunked(taken / kChunkedName));
  return ResolvedPath{taken.string(), "version " + highest.second + ", the highest of " +
                                          std::to_string(versions.size()) + " in " + path};
}

Match ProbeSavedModel(const ProbeInput& input) {
  const auto found = SniffGraphKind(input.head);
  return found && found->kind == OpGraphKind::kSavedModel ? Match::kCertain : Match::kNo;
}

Result<std::unique_ptr<Checkpoint>> OpenSavedModel(const Files& files, const fs::path& path,
                                                   const Limits& limits) {
  fs::path file = path, folder = path.parent_path();
  if (files.IsDirectory(path)) {
    const auto found = GraphFileIn(files, path);
    if (!found && files.Exists(path / kChunkedName)) return Fail(Chunked(path / kChunkedName));
    if (!found) {
      return Fail(Error{ErrorCode::kUnfit, "holds no saved_model.pb"}.In(path.string()));
    }
    file = *found;
    folder = path;
  }
  CKPT_ASSIGN_OR_RETURN(auto opened, files.Open(file));
  CKPT_ASSIGN_OR_RETURN(
      auto record,
      ReadGraphRecord(std::shared_ptr<const RandomAccessFile>(std::move(opened)), limits));
  record->companions = ListCompanions(files, folder);
  const std::vector<std::string> companions = CompanionPaths(*record);
  CKPT_ASSIGN_OR_RETURN(auto graph, BuildOpGraph(std::move(record), limits));
  if (graph->kind != OpGraphKind::kSavedModel) {
    return Fail(Error{ErrorCode::kUnsupported,
                      "is a " + std::string(Name(graph->kind)) + ", not a SavedModel"}
                    .In(file.string()));
  }
  const std::string graphs = NoteOfGraphs(*graph);
  const std::string prefix = (folder / "variables" / "variables").string();
  if (!files.Exists(prefix + ".index")) {
    return GraphAsCheckpoint("saved-model", file.string(), std::move(graph), limits);
  }
  CKPT_ASSIGN_OR_RETURN(auto variables, OpenTfBundle(files, prefix, limits));
  Manifest manifest = variables->manifest();
  manifest.resolved = file.string();
  manifest.files.insert(manifest.files.begin(), file.string());
  manifest.files.insert(manifest.files.end(), companions.begin(), companions.end());
  manifest.framework_version = graph->producer_version;
  if (!graphs.empty()) AddNote(graphs, manifest);
  MarkTrainable(*graph, manifest);
  CKPT_ASSIGN_OR_RETURN(GraphTensors constants, ListConstantsLeftInFile(*graph, limits));
  std::vector<MergedPlace> places = MergeConstants(std::move(constants), *graph, manifest);
  manifest.ops = std::move(graph);
  return std::unique_ptr<Checkpoint>(std::make_unique<SavedModelCheckpoint>(
      std::move(variables), std::move(places), std::move(manifest), limits));
}

}  // namespace ckpt::formats
