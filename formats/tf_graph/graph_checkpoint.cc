#include "formats/tf_graph/graph_checkpoint.h"

#include <string>
#include <utility>

#include "ckpt/serving_network.h"
#include "formats/tf_graph/graph_kind.h"
#include "formats/tf_graph/graph_tensors.h"
#include "formats/tf_graph/tensor_value.h"

namespace ckpt::formats {
namespace {

class GraphCheckpoint : public Checkpoint {
 public:
  GraphCheckpoint(std::string_view format, Manifest manifest, GraphTensors tensors,
                  std::shared_ptr<const TfGraphRecord> record, const Limits& limits)
      : format_(format),
        manifest_(std::move(manifest)),
        values_(std::move(tensors.values)),
        record_(std::move(record)),
        limits_(limits) {
    manifest_.tensors = std::move(tensors.tensors);
  }
  std::string_view format() const noexcept override { return format_; }
  const Manifest& manifest() const noexcept override { return manifest_; }
  Result<network::Network> MakeNetwork() const override { return NetworkOverSource(*this, {}); }
  Result<std::unique_ptr<TensorStream>> Open(TensorId id) const override {
    if (values_[id.index] == nullptr) return Fail(WhyAbsent(manifest_, id));
    return StreamGraphTensor(record_, *values_[id.index], limits_,
                             manifest_.tensors[id.index].name);
  }

 private:
  std::string_view format_;
  Manifest manifest_;
  std::vector<const tf_proto::TensorProto*> values_;
  std::shared_ptr<const TfGraphRecord> record_;
  Limits limits_;
};

Match ProbeKind(const ProbeInput& input, OpGraphKind kind) {
  const auto found = SniffGraphKind(input.head);
  return found && found->kind == kind ? Match::kCertain : Match::kNo;
}

// A SavedModel owes its variables.
Problem VariablesAbsent(const std::string& saved_model, std::size_t variables) {
  Problem problem{
      Error{ErrorCode::kNotFound, "the SavedModel has variables, and this file of theirs is absent"}
          .In((std::filesystem::path(saved_model).parent_path() / "variables" / "variables.index")
                  .string()),
      {}};
  for (std::uint32_t i = 0; i < variables; ++i) problem.tensors.push_back(TensorId{i});
  return problem;
}

Result<std::unique_ptr<Checkpoint>> OpenGraph(std::string_view format, OpGraphKind kind,
                                              const Files& files, const std::filesystem::path& path,
                                              const Limits& limits) {
  CKPT_ASSIGN_OR_RETURN(auto graph, ReadOpGraph(files, path, limits));
  if (graph->kind != kind) {
    return Fail(Error{ErrorCode::kUnsupported, "is a " + std::string(Name(graph->kind)) +
                                                   ", not a " + std::string(Name(kind))}
                    .In(path.string()));
  }
  return GraphAsCheckpoint(format, path.string(), std::move(graph), limits);
}

}  // namespace

Match ProbeTfMeta(const ProbeInput& input) { return ProbeKind(input, OpGraphKind::kMetaGraph); }
Match ProbeGraphDef(const ProbeInput& input) { return ProbeKind(input, OpGraphKind::kGraphDef); }

Result<std::unique_ptr<Checkpoint>> OpenTfMeta(const Files& files,
                                               const std::filesystem::path& path,
                                               const Limits& limits) {
  std::filesystem::path file = path;
  if (!files.Exists(path)) file += ".meta";  // of a prefix
  return OpenGraph("tf-meta", OpGraphKind::kMetaGraph, files, file, limits);
}

Result<std::unique_ptr<Checkpoint>> OpenGraphDef(const Files& files,
                                                 const std::filesystem::path& path,
                                                 const Limits& limits) {
  return OpenGraph("graph-def", OpGraphKind::kGraphDef, files, path, limits);
}

Result<std::unique_ptr<Checkpoint>> GraphAsCheckpoint(std::string_view format, std::string resolved,
                                                      std::shared_ptr<OpGraph> graph,
                                                      const Limits& limits) {
  auto record = std::static_pointer_cast<const TfGraphRecord>(graph->file_record);
  Manifest manifest;
  manifest.resolved = std::move(resolved);
  manifest.framework = Framework::kTensorFlow;
  manifest.framework_version = graph->producer_version;
  manifest.files = {record->file->path()};
  for (std::string& path : CompanionPaths(*record)) manifest.files.push_back(std::move(path));
  GraphTensors tensors;
  if (HasVariables(*graph)) {
    tensors = ListVariables(*graph);
    if (graph->kind == OpGraphKind::kSavedModel) {
      manifest.problems.push_back(VariablesAbsent(manifest.resolved, tensors.tensors.size()));
    } else {
      manifest.note = "a graph by itself: it declares " + std::to_string(tensors.tensors.size()) +
                      " variables, whose values are in a checkpoint";
    }
    if (tensors.without_shape > 0) {
      manifest.note +=
          "; " + std::to_string(tensors.without_shape) + " more have no shape and are not listed";
    }
  } else {
    CKPT_ASSIGN_OR_RETURN(tensors, ListConstants(*graph, limits));
  }
  manifest.ops = std::move(graph);
  return std::unique_ptr<Checkpoint>(std::make_unique<GraphCheckpoint>(
      format, std::move(manifest), std::move(tensors), std::move(record), limits));
}

}  // namespace ckpt::formats
