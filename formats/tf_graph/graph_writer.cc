#include "formats/tf_graph/graph_writer.h"

#include <map>
#include <utility>

#include "formats/container/output_tensor.h"
#include "formats/encoding/byte_reader.h"
#include "formats/tf_bundle/tf_bundle.h"
#include "formats/tf_bundle/tf_dtype.h"
#include "formats/tf_graph/function_record.h"
#include "formats/tf_graph/node_record.h"
#include "formats/tf_graph/tensor_value.h"
#include "formats/tf_graph/variable_nodes.h"

namespace ckpt::formats {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaxStringBytes = std::uint64_t{64} << 20;  // of a constant of strings

class Builder {
 public:
  Builder(const GraphToWrite& graph, bool keep_variables)
      : model_(graph.model), graph_(graph.ops), keep_variables_(keep_variables) {}

  Result<GraphPieces> Build() {
    if (keep_variables_) FindVariables();
    for (const Op& op : graph_.top.ops) CKPT_RETURN_IF_ERROR(Add(op));
    tf_proto::GraphDef fields;
    for (const auto& [name, function] : graph_.functions) {
      CKPT_ASSIGN_OR_RETURN(*fields.mutable_library()->add_function(),
                            ToFunctionDef(graph_, function));
    }
    if (graph_.file_record != nullptr && RecordOf(graph_).graph().has_versions()) {
      *fields.mutable_versions() = RecordOf(graph_).graph().versions();
    } else {
      fields.mutable_versions()->set_producer(kGraphVersion);
    }
    pieces_.AddFields(fields);
    return std::move(pieces_);
  }

 private:
  // Of graphs whose own version is not recorded: TensorFlow 1.12 to 1.15 and later read it.
  static constexpr std::int32_t kGraphVersion = 27;

  // One variable for each tensor; other constants of the same tensor read that one.
  void FindVariables() {
    for (const Op& op : graph_.top.ops) {
      if (op.tensor && WasVariable(op)) variable_of_.emplace(op.tensor->index, op.name);
    }
  }

  bool IsVariable(const Op& op) const { return keep_variables_ && op.tensor && WasVariable(op); }

  std::string NameOf(const OpEdge& edge) const {
    const Op& op = graph_.top.ops[edge.op];
    if (IsVariable(op)) return VariableRead(variable_of_.at(op.tensor->index));
    return edge.output == 0 ? op.name : op.name + ':' + std::to_string(edge.output);
  }

  Status Add(const Op& op) {
    if (IsVariable(op)) {
      if (variable_of_.at(op.tensor->index) != op.name) return {};
      for (const auto& node : VariableNodes(op.name, model_.tensors[op.tensor->index]))
        pieces_.AddNode(node);
      return {};
    }
    CKPT_ASSIGN_OR_RETURN(tf_proto::NodeDef node, ToNodeDef(graph_, op));
    for (const OpEdge& input : op.inputs) node.add_input(NameOf(input));
    for (const OpId control : op.control_inputs) node.add_input('^' + graph_.top.ops[control].name);
    if (op.tensor) return AddTensor(op, std::move(node));
    if (op.type == "Const") return AddRecorded(op, std::move(node));
    pieces_.AddNode(node);
    return {};
  }

  Status AddTensor(const Op& op, tf_proto::NodeDef node) {
    const std::size_t index = op.tensor->index;
    const TensorInfo& tensor = model_.tensors[index];
    CKPT_RETURN_IF_ERROR(GraphCanHold(tensor));
    const auto dtype = static_cast<tf_proto::DataType>(FindTfDtype(tensor.dtype)->number);
    AttrOf(node, "dtype").set_type(dtype);
    tf_proto::TensorProto described;
    described.set_dtype(dtype);
    described.mutable_tensor_shape();
    for (const std::int64_t dim : tensor.shape.dims())
      described.mutable_tensor_shape()->add_dim()->set_size(dim);
    if (tensor.dtype == Dtype::kString) {
      CKPT_RETURN_IF_ERROR(AddStrings(index, described));
      *AttrOf(node, "value").mutable_tensor() = std::move(described);
      pieces_.AddNode(node);
      return {};
    }
    pieces_.AddConstant(node, described, tensor.byte_size,
                        [this_model = &model_, index](const auto& sink) {
                          return PullTensor(*this_model, index, sink);
                        });
    return {};
  }

  Status AddStrings(std::size_t index, tf_proto::TensorProto& out) const {
    std::vector<std::byte> bytes;
    CKPT_RETURN_IF_ERROR(PullTensor(model_, index, [&](std::span<const std::byte> chunk) -> Status {
      if (bytes.size() + chunk.size() > kMaxStringBytes) {
        return Fail(ErrorCode::kLimitExceeded,
                    "the strings of \"" + model_.tensors[index].name + "\" are too many");
      }
      bytes.insert(bytes.end(), chunk.begin(), chunk.end());
      return {};
    }));
    std::size_t at = 0;
    while (at + sizeof(std::uint64_t) <= bytes.size()) {
      const std::uint64_t size = ByteReader(std::span(bytes).subspan(at)).U64();
      at += sizeof(std::uint64_t);
      if (size > bytes.size() - at) break;
      out.add_string_val(reinterpret_cast<const char*>(bytes.data() + at),
                         static_cast<std::size_t>(size));
      at += static_cast<std::size_t>(size);
    }
    return {};
  }

  // A constant whose value stands in the source's file.
  Status AddRecorded(const Op& op, tf_proto::NodeDef node) {
    tf_proto::AttrValue* value = nullptr;
    for (auto& entry : *node.mutable_attr()) {
      if (entry.key() == "value") value = entry.mutable_value();
    }
    if (value == nullptr || value->tensor().left_in_file() == 0) {
      pieces_.AddNode(node);
      return {};
    }
    const auto record = std::static_pointer_cast<const TfGraphRecord>(graph_.file_record);
    const tf_proto::NodeDef* recorded = NodeOf(graph_, op);
    const tf_proto::TensorProto* proto = nullptr;
    for (const auto& entry : recorded->attr()) {
      if (entry.key() == "value") proto = &entry.value().tensor();
    }
    CKPT_ASSIGN_OR_RETURN(const GraphTensor tensor, DescribeGraphTensor(*record, *proto, {}));
    tf_proto::TensorProto described;
    described.set_dtype(proto->dtype());
    *described.mutable_tensor_shape() = proto->tensor_shape();
    google::protobuf::RepeatedPtrField<tf_proto::AttrEntry> kept;
    for (auto& entry : *node.mutable_attr()) {
      if (entry.key() != "value") kept.Add()->Swap(&entry);
    }
    node.mutable_attr()->Swap(&kept);
    pieces_.AddConstant(node, described, tensor.byte_size,
                        [record, proto, name = op.name](const auto& sink) -> Status {
                          CKPT_ASSIGN_OR_RETURN(const auto stream,
                                                StreamGraphTensor(record, *proto, {}, name));
                          while (true) {
                            CKPT_ASSIGN_OR_RETURN(const auto chunk, stream->Next());
                            if (chunk.empty()) return {};
                            CKPT_RETURN_IF_ERROR(sink(chunk));
                          }
                        });
    return {};
  }

  const OutputModel& model_;
  const OpGraph& graph_;
  bool keep_variables_;
  std::map<std::uint32_t, std::string> variable_of_;
  GraphPieces pieces_;
};

}  // namespace

Status GraphCanHold(const TensorInfo& tensor) {
  const TfDtype* const dtype = FindTfDtype(tensor.dtype);
  if (dtype != nullptr && !dtype->packed() &&
      (dtype->stored_bytes != 0 || tensor.dtype == Dtype::kString)) {
    return {};
  }
  return Fail(Error{ErrorCode::kUnsupported, "a TensorFlow graph cannot hold elements of type " +
                                                 std::string(Name(tensor.dtype)) + " here"}
                  .Of(tensor.name));
}

Result<GraphPieces> BuildGraph(const GraphToWrite& graph, bool keep_variables) {
  return Builder(graph, keep_variables).Build();
}

Result<GraphToWrite> GraphOf(const OutputModel& model) {
  if (model.ops != nullptr) return GraphToWrite{model, *model.ops};
  return Fail(ErrorCode::kUnsupported,
              "there is no graph of operations to write; a .meta, SavedModel or GraphDef has one");
}

Result<WriteSummary> WriteGraphDef(AtomicOutput& output, const fs::path& path,
                                   const OutputModel& model, const WriteOptions&) {
  CKPT_ASSIGN_OR_RETURN(const GraphToWrite graph, GraphOf(model));
  CKPT_ASSIGN_OR_RETURN(const GraphPieces pieces, BuildGraph(graph, false));
  if (pieces.size() > kMaxMessageBytes) {
    return Fail(Error{ErrorCode::kUnsupported, "the graph would take " +
                                                   std::to_string(pieces.size()) +
                                                   " bytes, and a GraphDef ends below 2 GiB"}
                    .With(Remedy::kSeparateWeights));
  }
  CKPT_ASSIGN_OR_RETURN(OutputFile* const file, output.Create(path, pieces.size()));
  CKPT_RETURN_IF_ERROR(pieces.Write(*file));
  const std::uint64_t bytes = file->size();
  return WriteSummary{{path.string()}, bytes};
}

}  // namespace ckpt::formats
