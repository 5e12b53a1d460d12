#include "formats/tf_graph/function_record.h"

#include <set>
#include <string>
#include <utility>

#include "ckpt/serving.h"
#include "formats/tf_graph/node_record.h"
#include "formats/tf_graph/tensor_value.h"

namespace ckpt::formats {
namespace {

using tf_proto::FunctionDef;
using tf_proto::NodeDef;

constexpr std::uint64_t kMaxConstantBytes = std::uint64_t{256} << 20;  // of one function's body
constexpr int kArgAttr = 7, kResourceArgUniqueId = 8;                  // fields of FunctionDef

class Writer {
 public:
  Writer(const OpGraph& graph, const OpFunction& function) : graph_(graph), function_(function) {}

  Result<FunctionDef> Write() {
    const auto* source = function_.body.ops.empty()
                             ? nullptr
                             : FindAttr<std::string>(function_.body.ops.front(), kRecordFunction);
    const FunctionDef* recorded =
        graph_.file_record == nullptr
            ? nullptr
            : RecordOf(graph_).FindFunction(source == nullptr ? function_.name : *source);
    if (recorded == nullptr ||
        function_.body.ops.size() !=
            function_.arguments + static_cast<std::size_t>(recorded->node_def_size())) {
      return Fail(ErrorCode::kInternal, "the function \"" + function_.name + "\" has no record");
    }
    out_ = *recorded;
    out_.mutable_signature()->set_name(function_.name);
    FindRetyped(*recorded);
    SetArguments();
    for (int i = 0; i < recorded->node_def_size(); ++i)
      CKPT_RETURN_IF_ERROR(SetNode(recorded->node_def(i), i));
    for (auto& result : *out_.mutable_ret()) result.set_value(Renamed(result.value()));
    return std::move(out_);
  }

 private:
  const Op& OpOf(int node) const {
    return function_.body.ops[function_.arguments + static_cast<std::size_t>(node)];
  }

  // Operations that became identities yield their result under another name.
  void FindRetyped(const FunctionDef& recorded) {
    for (int i = 0; i < recorded.node_def_size(); ++i) {
      const NodeDef& node = recorded.node_def(i);
      if (OpOf(i).type != node.op() && OpOf(i).type == "Identity") identities_.insert(node.name());
    }
  }

  // "n:value:0" of a node that is an Identity now: "n:output:0".
  std::string Renamed(const std::string& input) const {
    const std::size_t colon = input.find(':');
    if (colon == std::string::npos || !identities_.contains(input.substr(0, colon))) return input;
    return input.substr(0, colon) + ":output:0";
  }

  static std::optional<OpDtype> TypeOf(const Op& op, std::uint32_t output) {
    if (const auto* one = FindAttr<OpDtype>(op, "T")) return *one;
    const auto* list = FindAttr<std::vector<OpDtype>>(op, "T");
    if (list != nullptr && output < list->size()) return (*list)[output];
    return std::nullopt;
  }

  // Types of arguments that became values, and of results that hand them on.
  void SetArguments() {
    auto& signature = *out_.mutable_signature();
    bool changed = false;
    for (int i = 0; i < signature.input_arg_size(); ++i) {
      const auto type = TypeOf(function_.body.ops[static_cast<std::size_t>(i)], 0);
      auto& argument = *signature.mutable_input_arg(i);
      if (argument.type() != tf_proto::DT_RESOURCE || !type || type->number == kResource) continue;
      argument.set_type(static_cast<tf_proto::DataType>(type->number));
      changed = true;
    }
    if (!changed) return;
    for (int i = 0; i < signature.output_arg_size(); ++i) {
      auto& result = *signature.mutable_output_arg(i);
      const OpEdge& edge = function_.results[static_cast<std::size_t>(i)];
      const auto type = TypeOf(function_.body.ops[edge.op], edge.output);
      if (result.type() == tf_proto::DT_RESOURCE && type)
        result.set_type(static_cast<tf_proto::DataType>(type->number));
    }
    // What is recorded of the handles: their shape is a scalar's.
    auto& unknown = *out_.GetReflection()->MutableUnknownFields(&out_);
    unknown.DeleteByNumber(kArgAttr);
    unknown.DeleteByNumber(kResourceArgUniqueId);
    auto& attributes = *out_.mutable_attr();
    for (int i = attributes.size() - 1; i >= 0; --i) {
      if (attributes[i].key() == "_input_shapes") attributes.DeleteSubrange(i, 1);
    }
  }

  Status SetNode(const NodeDef& recorded, int i) {
    CKPT_ASSIGN_OR_RETURN(NodeDef node, ToNodeDef(graph_, OpOf(i), NodePlace::kFunction));
    for (const auto& input : recorded.input()) node.add_input(Renamed(input));
    for (auto& entry : *node.mutable_attr()) {
      if (entry.value().has_tensor() && entry.value().tensor().left_in_file() != 0)
        CKPT_RETURN_IF_ERROR(Fill(node.name(), *entry.mutable_value()->mutable_tensor()));
    }
    out_.mutable_node_def(i)->Swap(&node);
    return {};
  }

  // The content that was left in the file.
  Status Fill(const std::string& name, tf_proto::TensorProto& tensor) {
    const auto record = std::static_pointer_cast<const TfGraphRecord>(graph_.file_record);
    CKPT_ASSIGN_OR_RETURN(const auto stream, StreamGraphTensor(record, tensor, {}, name));
    std::string content;
    while (true) {
      CKPT_ASSIGN_OR_RETURN(const auto chunk, stream->Next());
      if (chunk.empty()) break;
      constant_bytes_ += chunk.size();
      if (constant_bytes_ > kMaxConstantBytes) {
        return Fail(ErrorCode::kLimitExceeded, "the constants of the function \"" + function_.name +
                                                   "\" are too large to be copied");
      }
      content.append(reinterpret_cast<const char*>(chunk.data()), chunk.size());
    }
    tf_proto::TensorProto filled;
    filled.set_dtype(tensor.dtype());
    *filled.mutable_tensor_shape() = tensor.tensor_shape();
    filled.set_tensor_content(std::move(content));
    tensor = std::move(filled);
    return {};
  }

  static constexpr std::int32_t kResource = 20;

  const OpGraph& graph_;
  const OpFunction& function_;
  FunctionDef out_;
  std::set<std::string, std::less<>> identities_;
  std::uint64_t constant_bytes_ = 0;
};

}  // namespace

Result<tf_proto::FunctionDef> ToFunctionDef(const OpGraph& graph, const OpFunction& function) {
  return Writer(graph, function).Write();
}

}  // namespace ckpt::formats
