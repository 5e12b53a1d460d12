#include <map>
#include <set>
#include <system_error>
#include <utility>

#include "formats/container/output_tensor.h"
#include "formats/tf_bundle/tf_bundle.h"
#include "formats/tf_graph/companion_files.h"
#include "formats/tf_graph/graph_record.h"
#include "formats/tf_graph/graph_writer.h"
#include "formats/tf_graph/node_record.h"
#include "formats/tf_graph/variable_nodes.h"

namespace ckpt::formats {
namespace {

namespace fs = std::filesystem;

// Field numbers, as in meta_graph.proto.
constexpr unsigned kSavedModelMetaGraph = 2, kMetaGraphGraph = 2;

// The files that the source has beside its graph.
Status CopyCompanions(const OpGraph& graph, const fs::path& path, AtomicOutput& output,
                      WriteSummary& summary) {
  if (graph.file_record == nullptr) return {};
  const auto& companions = RecordOf(graph).companions;
  if (!companions) return Fail(companions);
  for (const CompanionFile& file : *companions) {
    CKPT_RETURN_IF_ERROR(CopyCompanion(file, path / file.name, output, summary));
  }
  return {};
}

// What a bundle is given: the tensors that stay variables.
struct Variables {
  OutputModel model;
  std::vector<SavedVariable> saved;
};

Variables VariablesOf(const GraphToWrite& graph) {
  const OutputModel& model = graph.model;
  std::map<std::uint32_t, std::string> node_of;
  for (const Op& op : graph.ops.top.ops) {
    if (op.tensor && WasVariable(op)) node_of.emplace(op.tensor->index, op.name);
  }
  Variables variables;
  std::vector<std::size_t> index;
  for (const auto& [i, name] : node_of) {  // in the order of the tensors, which is by name
    index.push_back(i);
    variables.model.tensors.push_back(model.tensors[i]);
    variables.saved.push_back({name, model.tensors[i]});
  }
  variables.model.open = [&model, index](std::size_t i) { return model.open(index[i]); };
  return variables;
}

// A scope that no operation of the graph is in.
std::string FreeScope(const OpGraph& graph) {
  std::set<std::string> taken;
  for (const Op& op : graph.top.ops) taken.insert(op.name.substr(0, op.name.find('/')));
  std::string scope = "save";
  for (std::size_t i = 1; taken.contains(scope); ++i) scope = "save_" + std::to_string(i);
  return scope;
}

// As the definition of the operation says, else as the source recorded it.
Result<tf_proto::TensorInfo> Described(const OpGraph& graph, const std::string& tensor,
                                       const OpTensorType& recorded) {
  const std::size_t colon = tensor.rfind(':');
  const auto id = graph.top.Find(tensor.substr(0, colon));
  auto dtype = id ? OutputDtype(graph.top.ops[*id], 0) : std::nullopt;
  if (!dtype) dtype = recorded.dtype;
  if (!dtype) {
    return Fail(ErrorCode::kUnsupported,
                "the type of \"" + tensor + "\" of the signature is not recorded");
  }
  tf_proto::TensorInfo info;
  info.set_name(tensor);
  info.set_dtype(static_cast<tf_proto::DataType>(dtype->number));
  info.mutable_tensor_shape()->set_unknown_rank(!recorded.shape);
  if (!recorded.shape) return info;
  for (const std::int64_t dim : *recorded.shape)
    info.mutable_tensor_shape()->add_dim()->set_size(dim);
  return info;
}

using Arguments = google::protobuf::RepeatedPtrField<tf_proto::SignatureDef::Argument>;

Status AddArguments(const OpGraph& graph, const std::map<std::string, std::string>& tensors,
                    const std::map<std::string, OpTensorType>& types, Arguments& out) {
  for (const auto& [key, tensor] : tensors) {
    auto& argument = *out.Add();
    argument.set_key(key);
    const auto type = types.find(key);
    CKPT_ASSIGN_OR_RETURN(
        *argument.mutable_value(),
        Described(graph, tensor, type == types.end() ? OpTensorType() : type->second));
  }
  return {};
}

// What a loader runs first. As a collection: TensorFlow 2 would offer a signature to users.
void AddInitializer(const OpGraph& graph, tf_proto::MetaGraphDef& meta) {
  if (graph.initializer.empty()) return;
  auto& collection = *meta.add_collection_def();
  collection.set_key("saved_model_main_op");
  collection.mutable_value()->mutable_node_list()->add_value(graph.initializer);
}

Result<tf_proto::MetaGraphDef> MetaOf(const OpGraph& graph) {
  tf_proto::MetaGraphDef meta;
  auto& information = *meta.mutable_meta_info_def();
  information.add_tags("serve");
  information.set_tensorflow_version(graph.producer_version);
  for (const OpSignature& signature : graph.signatures) {
    auto& entry = *meta.add_signature_def();
    entry.set_key(signature.name);
    auto& value = *entry.mutable_value();
    value.set_method_name(signature.method);
    CKPT_RETURN_IF_ERROR(
        AddArguments(graph, signature.inputs, signature.input_types, *value.mutable_inputs()));
    CKPT_RETURN_IF_ERROR(
        AddArguments(graph, signature.outputs, signature.output_types, *value.mutable_outputs()));
  }
  AddInitializer(graph, meta);
  for (const OpAsset& asset : graph.assets) {
    auto& definition = *meta.add_asset_file_def();
    definition.mutable_tensor_info()->set_name(asset.tensor);
    definition.set_filename(asset.file);
  }
  return meta;
}

// What of an older SavedModel the new one stands for, or would contradict; what else is in its
// folder stays.
std::vector<std::string> ReplacedParts() {
  return {"saved_model.pb", "saved_model.pbtxt", "variables",
          "assets",         "keras_metadata.pb", "fingerprint.pb"};
}

}  // namespace

fs::path SavedModelMarker(const std::string& output) { return fs::path(output) / "saved_model.pb"; }

Result<WriteSummary> WriteSavedModel(AtomicOutput& output, const fs::path& path,
                                     const OutputModel& model, const WriteOptions& options) {
  CKPT_ASSIGN_OR_RETURN(const GraphToWrite graph, GraphOf(model));
  CKPT_ASSIGN_OR_RETURN(GraphPieces pieces, BuildGraph(graph, true));
  CKPT_ASSIGN_OR_RETURN(tf_proto::MetaGraphDef meta, MetaOf(graph.ops));
  const Variables variables = VariablesOf(graph);
  if (!variables.saved.empty()) {
    SaverNodes saver = MakeSaver(variables.saved, FreeScope(graph.ops));
    for (const auto& node : saver.nodes) pieces.AddNode(node);
    *meta.mutable_saver_def() = std::move(saver.saver);
    *meta.add_collection_def() = std::move(saver.variables);
  }
  const std::string rest = meta.SerializeAsString();
  std::string graph_head, head;
  AppendLengthField(kMetaGraphGraph, pieces.size(), graph_head);
  const std::uint64_t meta_size = graph_head.size() + pieces.size() + rest.size();
  tf_proto::SavedModel schema;
  schema.set_saved_model_schema_version(1);
  head = schema.SerializeAsString();
  AppendLengthField(kSavedModelMetaGraph, meta_size, head);
  if (head.size() + meta_size > kMaxMessageBytes) {
    return Fail(ErrorCode::kUnsupported,
                "the graph would take 2 GiB or more, where a protobuf message ends");
  }

  CKPT_RETURN_IF_ERROR(output.CreateFolder(path, ReplacedParts()));
  WriteSummary summary;
  const fs::path prefix = path / "variables" / "variables";
  if (!variables.saved.empty()) {
    CKPT_ASSIGN_OR_RETURN(summary, WriteTfBundle(output, prefix, variables.model, options));
  }
  CKPT_RETURN_IF_ERROR(CopyCompanions(graph.ops, path, output, summary));
  const fs::path target = path / "saved_model.pb";
  CKPT_ASSIGN_OR_RETURN(OutputFile* const file, output.Create(target));
  CKPT_RETURN_IF_ERROR(AppendText(*file, head));
  CKPT_RETURN_IF_ERROR(AppendText(*file, graph_head));
  CKPT_RETURN_IF_ERROR(pieces.Write(*file));
  CKPT_RETURN_IF_ERROR(AppendText(*file, rest));
  summary.files.push_back(target.string());
  summary.bytes += file->size();
  return summary;
}

}  // namespace ckpt::formats
