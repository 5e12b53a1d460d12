#include "formats/tf_graph/read_op_graph.h"

#include <filesystem>
#include <unordered_map>
#include <utility>
#include <vector>

#include "formats/tf_graph/graph_kind.h"
#include "formats/tf_graph/graph_variables.h"
#include "formats/tf_graph/op_attributes.h"
#include "formats/tf_graph/op_body.h"

namespace ckpt::formats {
namespace {

Error In(const TfGraphRecord& record, Error error) {
  if (error.file.empty()) error.file = record.file->path();
  return error;
}

// The functions that a body calls, or that its loops and branches do.
std::vector<std::string_view> Called(const OpBody& body, const OpGraph& graph) {
  std::vector<std::string_view> names;
  for (const Op& op : body.ops) {
    if (graph.functions.find(op.type) != graph.functions.end()) names.push_back(op.type);
    for (const auto& [key, value] : op.attrs) {
      if (const auto* one = std::get_if<OpFunctionName>(&value)) names.push_back(one->name);
      if (const auto* many = std::get_if<std::vector<OpFunctionName>>(&value)) {
        for (const OpFunctionName& name : *many) names.push_back(name.name);
      }
    }
  }
  return names;
}

// A function that calls itself, directly or by way of others, has no graph that is finite.
Status CheckRecursion(const OpGraph& graph) {
  enum class State { kNew, kOpen, kDone };
  struct Frame {
    std::string_view name;
    std::vector<std::string_view> called;
    std::size_t next = 0;
  };
  std::unordered_map<std::string_view, State> states;
  std::vector<Frame> stack;
  for (const auto& [start, function] : graph.functions) {
    if (states[start] == State::kDone) continue;
    states[start] = State::kOpen;
    stack.push_back({start, Called(function.body, graph)});
    while (!stack.empty()) {
      Frame& frame = stack.back();
      if (frame.next == frame.called.size()) {
        states[frame.name] = State::kDone;
        stack.pop_back();
        continue;
      }
      const auto inner = graph.functions.find(frame.called[frame.next++]);
      if (inner == graph.functions.end()) continue;
      State& state = states[inner->first];
      if (state == State::kOpen) {
        return Fail(ErrorCode::kCorrupt,
                    "function \"" + inner->first + "\" calls itself, perhaps by way of others");
      }
      if (state == State::kDone) continue;
      state = State::kOpen;
      stack.push_back({inner->first, Called(inner->second.body, graph)});
    }
  }
  return {};
}

Status ReadFunctions(BodyContext& context, OpGraph& graph) {
  const auto& functions = context.record->graph().library().function();
  for (const auto& function : functions) {
    if (!context.signatures.emplace(function.signature().name(), &function.signature()).second) {
      return Fail(ErrorCode::kCorrupt,
                  "two functions have the name \"" + function.signature().name() + "\"");
    }
  }
  for (const auto& function : functions) {
    CKPT_ASSIGN_OR_RETURN(OpFunction built, BuildFunction(function, context));
    std::string name = built.name;
    graph.functions.emplace(std::move(name), std::move(built));
  }
  return {};
}

void ReadCollections(const tf_proto::MetaGraphDef& meta, OpGraph& graph) {
  for (const auto& collection : meta.collection_def()) {
    if (!collection.value().has_node_list()) continue;
    const auto& names = collection.value().node_list().value();
    auto& list = graph.collections[collection.key()];
    list.insert(list.end(), names.begin(), names.end());
  }
}

OpTensorType TypeOf(const tf_proto::TensorInfo& info) {
  OpTensorType type;
  if (info.dtype() != tf_proto::DT_INVALID)
    type.dtype = OpDtype{static_cast<std::int32_t>(info.dtype())};
  if (info.has_tensor_shape()) type.shape = ToOpShape(info.tensor_shape());
  return type;
}

void ReadSignatures(const tf_proto::MetaGraphDef& meta, OpGraph& graph) {
  for (const auto& entry : meta.signature_def()) {
    OpSignature signature{entry.key(), entry.value().method_name()};
    for (const auto& input : entry.value().inputs()) {
      signature.inputs.insert_or_assign(input.key(), input.value().name());
      signature.input_types.insert_or_assign(input.key(), TypeOf(input.value()));
    }
    for (const auto& output : entry.value().outputs()) {
      signature.outputs.insert_or_assign(output.key(), output.value().name());
      signature.output_types.insert_or_assign(output.key(), TypeOf(output.value()));
    }
    graph.signatures.push_back(std::move(signature));
  }
}

// Loaders look for a signature first, then for collections of older releases.
std::string InitializerOf(const OpGraph& graph) {
  for (const OpSignature& signature : graph.signatures) {
    if (signature.name != "__saved_model_init_op" || signature.outputs.empty()) continue;
    return signature.outputs.begin()->second;
  }
  for (const char* key : {"saved_model_main_op", "legacy_init_op"}) {
    const auto found = graph.collections.find(key);
    if (found != graph.collections.end() && !found->second.empty()) return found->second.front();
  }
  return {};
}

void ReadAssets(const tf_proto::MetaGraphDef& meta, OpGraph& graph) {
  for (const auto& asset : meta.asset_file_def())
    graph.assets.push_back({asset.tensor_info().name(), asset.filename()});
}

// The tags of the graphs of a SavedModel that are not the one that was read.
void NameOtherGraphs(const TfGraphRecord& record, OpGraph& graph) {
  for (int i = 0; i < record.saved_model.meta_graphs_size(); ++i) {
    if (i == record.meta_graph) continue;
    const auto& tags = record.saved_model.meta_graphs(i).meta_info_def().tags();
    graph.other_graphs.emplace_back(tags.begin(), tags.end());
  }
}

}  // namespace

Result<std::shared_ptr<OpGraph>> BuildOpGraph(std::shared_ptr<const TfGraphRecord> record,
                                              const Limits& limits) {
  auto graph = std::make_shared<OpGraph>();
  const tf_proto::MetaGraphDef& meta = record->meta();
  graph->kind = record->kind;
  graph->source = std::string(Name(record->kind)) + " " +
                  std::filesystem::path(record->file->path()).filename().string();
  BodyContext context{record, limits};
  const auto failed = [&](const Error& error) { return Fail(In(*record, error)); };
  if (Status read = ReadFunctions(context, *graph); !read) return failed(read.error());
  CKPT_ASSIGN_OR_RETURN(graph->top, BuildTopBody(context));
  if (Status checked = CheckRecursion(*graph); !checked) return failed(checked.error());
  ReadCollections(meta, *graph);
  if (Status read = ReadGraphVariables(meta, *graph); !read) return failed(read.error());
  if (meta.has_saver_def()) {
    const auto& saver = meta.saver_def();
    graph->saver =
        OpSaver{saver.filename_tensor_name(), saver.save_tensor_name(), saver.restore_op_name()};
  }
  ReadSignatures(meta, *graph);
  graph->initializer = InitializerOf(*graph);
  ReadAssets(meta, *graph);
  NameOtherGraphs(*record, *graph);
  graph->tags.assign(meta.meta_info_def().tags().begin(), meta.meta_info_def().tags().end());
  graph->producer_version = meta.meta_info_def().tensorflow_version();
  graph->file_record = record;
  return graph;
}

Result<std::shared_ptr<OpGraph>> ReadOpGraph(std::shared_ptr<const RandomAccessFile> file,
                                             const Limits& limits) {
  CKPT_ASSIGN_OR_RETURN(auto record, ReadGraphRecord(std::move(file), limits));
  return BuildOpGraph(std::move(record), limits);
}

Result<std::shared_ptr<OpGraph>> ReadOpGraph(const Files& files, const std::filesystem::path& path,
                                             const Limits& limits) {
  CKPT_ASSIGN_OR_RETURN(auto file, files.Open(path));
  return ReadOpGraph(std::shared_ptr<const RandomAccessFile>(std::move(file)), limits);
}

}  // namespace ckpt::formats
