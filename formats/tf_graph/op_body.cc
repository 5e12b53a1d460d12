#include "formats/tf_graph/op_body.h"

#include <algorithm>
#include <charconv>
#include <utility>
#include <vector>

#include "ckpt/op_outputs.h"
#include "formats/tf_graph/op_attributes.h"
#include "formats/tf_graph/tensor_value.h"

namespace ckpt::formats {
namespace {

using tf_proto::FunctionDef;
using tf_proto::NodeDef;

using Nodes = google::protobuf::RepeatedPtrField<NodeDef>;

constexpr std::uint32_t kMaxOutput = 1u << 20;

// "n", "n:1", "n:argument:1", "^n"
struct InputName {
  std::string_view node, argument = {};
  std::uint32_t output = 0;
  bool control = false;
};

std::optional<std::uint32_t> ParseNumber(std::string_view text) {
  std::uint32_t number = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (failed != std::errc() || end != text.data() + text.size() || number > kMaxOutput)
    return std::nullopt;
  return number;
}

std::optional<InputName> ParseInput(std::string_view text) {
  InputName name;
  if (text.starts_with('^')) {
    name.control = true;
    name.node = text.substr(1);
    return name;
  }
  const std::size_t colon = text.find(':');
  name.node = text.substr(0, colon);
  if (colon == std::string_view::npos) return name;
  std::string_view rest = text.substr(colon + 1);
  const std::size_t second = rest.find(':');
  if (second != std::string_view::npos) {
    name.argument = rest.substr(0, second);
    rest.remove_prefix(second + 1);
  } else if (!rest.empty() && (rest.front() < '0' || rest.front() > '9')) {
    name.argument = rest;  // "n:argument"
    return name;
  }
  const auto number = ParseNumber(rest);
  if (!number) return std::nullopt;
  name.output = *number;
  return name;
}

class BodyBuilder {
 public:
  BodyBuilder(BodyContext& context, std::string function)
      : context_(context), function_(std::move(function)) {}

  Status AddArguments(const FunctionDef& function);
  Status AddNodes(const Nodes& nodes);
  Result<OpEdge> Resolve(const Op& reader, const InputName& input) const;
  Result<OpId> Node(std::string_view of, std::string_view name) const;
  Status CheckCycles() const;
  OpBody Take() {
    body_.Index();
    return std::move(body_);
  }
  Error At(std::string_view op, std::string message, ErrorCode code = ErrorCode::kCorrupt) const {
    std::string where = "operation \"" + std::string(op) + "\"";
    if (!function_.empty()) where += " of function \"" + function_ + "\"";
    return Error{code, where + " " + std::move(message)}.In(context_.record->file->path());
  }

 private:
  Status AddName(OpId id);
  Status AddConstant(const NodeDef& node, Op& op);
  Status AddInputs(const NodeDef& node, OpId id);

  BodyContext& context_;
  std::string function_;
  OpBody body_;
  std::unordered_map<std::string_view, OpId> by_name_;  // views of names in the record
};

Status BodyBuilder::AddArguments(const FunctionDef& function) {
  for (const auto& argument : function.signature().input_arg()) {
    Op op;
    op.name = argument.name();
    op.type = "_Arg";
    if (argument.type() != tf_proto::DT_INVALID) {
      op.attrs.emplace("T", OpDtype{static_cast<std::int32_t>(argument.type())});
    }
    op.attrs.emplace("index", static_cast<std::int64_t>(body_.ops.size()));
    body_.ops.push_back(std::move(op));
    if (!by_name_.emplace(argument.name(), static_cast<OpId>(body_.ops.size() - 1)).second)
      return Fail(At(argument.name(), "has the name of another one"));
  }
  return {};
}

Status BodyBuilder::AddNodes(const Nodes& nodes) {
  const auto first = static_cast<OpId>(body_.ops.size());
  const auto count = static_cast<std::size_t>(nodes.size());
  if (count > context_.limits.tensors) {
    return Fail(Error{ErrorCode::kLimitExceeded,
                      "has more than " + std::to_string(context_.limits.tensors) + " operations"}
                    .In(context_.record->file->path()));
  }
  body_.ops.reserve(first + count);
  for (int i = 0; i < nodes.size(); ++i) {
    const NodeDef& node = nodes[i];
    Op op;
    op.name = node.name();
    op.type = node.op();
    op.record = static_cast<std::uint32_t>(i);
    if (op.name.empty()) return Fail(At("", "has no name"));
    if (!by_name_.emplace(node.name(), static_cast<OpId>(body_.ops.size())).second)
      return Fail(At(node.name(), "has the name of another one"));
    for (const auto& attr : node.attr())
      op.attrs.insert_or_assign(attr.key(), ToOpAttr(attr.value()));
    CKPT_RETURN_IF_ERROR(AddConstant(node, op));
    body_.ops.push_back(std::move(op));
  }
  for (int i = 0; i < nodes.size(); ++i)
    CKPT_RETURN_IF_ERROR(AddInputs(nodes[i], first + static_cast<OpId>(i)));
  return {};
}

Status BodyBuilder::AddConstant(const NodeDef& node, Op& op) {
  const tf_proto::TensorProto* const value = ConstantValue(node);
  if (value == nullptr) return {};
  const auto described = DescribeGraphTensor(*context_.record, *value, context_.limits);
  if (!described) return Fail(At(op.name, described.error().message, described.error().code));
  const bool in_file = value->left_in_file() != 0;
  if (described->byte_size > kMaxInlineConstant || described->byte_size > context_.inline_budget ||
      (in_file && IsWeightLike(*value))) {
    return {};
  }
  context_.inline_budget -= described->byte_size;
  CKPT_ASSIGN_OR_RETURN(op.constant,
                        ReadGraphTensor(context_.record, *value, context_.limits, op.name));
  return {};
}

Status BodyBuilder::AddInputs(const NodeDef& node, OpId id) {
  Op& op = body_.ops[id];
  for (const std::string& text : node.input()) {
    const auto input = ParseInput(text);
    if (!input) return Fail(At(op.name, "has the input \"" + text + "\""));
    if (input->control) {
      CKPT_ASSIGN_OR_RETURN(const OpId from, Node(op.name, input->node));
      op.control_inputs.push_back(from);
    } else {
      CKPT_ASSIGN_OR_RETURN(OpEdge edge, Resolve(op, *input));
      op.inputs.push_back(std::move(edge));
    }
  }
  return {};
}

Result<OpId> BodyBuilder::Node(std::string_view of, std::string_view name) const {
  const auto found = by_name_.find(name);
  if (found == by_name_.end()) {
    return Fail(At(of, "reads \"" + std::string(name) + "\", which is not in the graph"));
  }
  return found->second;
}

Result<OpEdge> BodyBuilder::Resolve(const Op& reader, const InputName& input) const {
  CKPT_ASSIGN_OR_RETURN(const OpId from, Node(reader.name, input.node));
  OpEdge edge{from, input.output, std::string(input.argument)};
  if (input.argument.empty()) return edge;
  const Op& producer = body_.ops[from];
  if (const auto called = context_.signatures.find(producer.type);
      called != context_.signatures.end()) {
    const auto& outputs = called->second->output_arg();
    const auto it = std::find_if(outputs.begin(), outputs.end(),
                                 [&](const auto& arg) { return arg.name() == input.argument; });
    if (it == outputs.end()) {
      return Fail(At(reader.name, "reads \"" + std::string(input.argument) + "\" of \"" +
                                      producer.name + "\", which has no such result"));
    }
    edge.output += static_cast<std::uint32_t>(it - outputs.begin());
  } else if (const auto place = OutputPlace(producer, input.argument)) {
    edge.output += *place;
  }
  return edge;
}

// Operations in the order of their inputs, a loop's way back left out; what remains is a cycle.
Status BodyBuilder::CheckCycles() const {
  const std::size_t count = body_.ops.size();
  std::vector<std::uint32_t> waits(count, 0), begin(count + 1, 0);
  const auto for_each_input = [&](OpId id, auto&& visit) {
    const Op& op = body_.ops[id];
    const auto back = [&](OpId from) {
      const std::string& type = body_.ops[from].type;
      return type == "NextIteration" || type == "RefNextIteration";
    };
    for (const OpEdge& edge : op.inputs) {
      if (!back(edge.op)) visit(edge.op);
    }
    for (const OpId from : op.control_inputs) {
      if (!back(from)) visit(from);
    }
  };
  for (OpId id = 0; id < count; ++id) {
    for_each_input(id, [&](OpId from) {
      ++waits[id];
      ++begin[from + 1];
    });
  }
  for (std::size_t i = 0; i < count; ++i) begin[i + 1] += begin[i];
  std::vector<OpId> readers(begin[count]);
  std::vector<std::uint32_t> next(begin.begin(), begin.end() - 1);
  for (OpId id = 0; id < count; ++id)
    for_each_input(id, [&](OpId from) { readers[next[from]++] = id; });

  std::vector<OpId> ready;
  for (OpId id = 0; id < count; ++id) {
    if (waits[id] == 0) ready.push_back(id);
  }
  std::size_t done = 0;
  while (!ready.empty()) {
    const OpId id = ready.back();
    ready.pop_back();
    ++done;
    for (std::uint32_t i = begin[id]; i < begin[id + 1]; ++i) {
      if (--waits[readers[i]] == 0) ready.push_back(readers[i]);
    }
  }
  if (done == count) return {};
  // From an operation that waits, back over inputs that wait, to the first one met again.
  OpId id = 0;
  while (waits[id] == 0) ++id;
  std::vector<bool> seen(count, false);
  while (!seen[id]) {
    seen[id] = true;
    OpId before = id;
    for_each_input(id, [&](OpId from) {
      if (waits[from] > 0) before = from;
    });
    id = before;
  }
  return Fail(At(body_.ops[id].name, "is an input of itself, by way of others: a cycle"));
}

}  // namespace

const tf_proto::TensorProto* ConstantValue(const NodeDef& node) {
  if (node.op() != "Const" && node.op() != "HostConst") return nullptr;
  const tf_proto::TensorProto* value = nullptr;
  for (const auto& attr : node.attr()) {
    if (attr.key() == "value" && attr.value().has_tensor()) value = &attr.value().tensor();
  }
  return value;
}

bool IsWeightLike(const tf_proto::TensorProto& proto) {
  const TfDtype* const dtype = FindTfDtype(static_cast<std::int32_t>(proto.dtype()));
  if (dtype == nullptr || dtype->stored_bytes == 0 || proto.tensor_shape().dim_size() == 0)
    return false;
  std::uint64_t elements = 1;
  for (const auto& dim : proto.tensor_shape().dim()) {
    if (dim.size() <= 0) return false;  // no elements: as a training batch norm's statistics
    elements = elements > kMaxInlineConstant / static_cast<std::uint64_t>(dim.size())
                   ? kMaxInlineConstant
                   : elements * static_cast<std::uint64_t>(dim.size());
  }
  switch (dtype->dtype) {
    case Dtype::kI32:
    case Dtype::kI64:
    case Dtype::kI16:
    case Dtype::kI8:
    case Dtype::kU8:
    case Dtype::kU16:
    case Dtype::kU32:
    case Dtype::kU64:
    case Dtype::kBool:
      return elements > 64;
    default:
      return true;
  }
}

Result<OpBody> BuildTopBody(BodyContext& context) {
  BodyBuilder builder(context, {});
  CKPT_RETURN_IF_ERROR(builder.AddNodes(context.record->graph().node()));
  CKPT_RETURN_IF_ERROR(builder.CheckCycles());
  return builder.Take();
}

Result<OpFunction> BuildFunction(const FunctionDef& function, BodyContext& context) {
  OpFunction built;
  built.name = function.signature().name();
  BodyBuilder builder(context, built.name);
  CKPT_RETURN_IF_ERROR(builder.AddArguments(function));
  built.arguments = static_cast<std::size_t>(function.signature().input_arg_size());
  CKPT_RETURN_IF_ERROR(builder.AddNodes(function.node_def()));
  CKPT_RETURN_IF_ERROR(builder.CheckCycles());

  Op result;  // stands for the function where an error has to name a reader
  std::unordered_map<std::string_view, std::string_view> returned;
  for (const auto& ret : function.ret()) returned.emplace(ret.key(), ret.value());
  for (const auto& output : function.signature().output_arg()) {
    result.name = output.name();
    const auto found = returned.find(output.name());
    const auto input = ParseInput(found == returned.end() ? output.name() : found->second);
    if (!input || input->control)
      return Fail(builder.At(output.name(), "is a result of no operation"));
    CKPT_ASSIGN_OR_RETURN(OpEdge edge, builder.Resolve(result, *input));
    built.result_names.push_back(output.name());
    built.results.push_back(std::move(edge));
  }
  for (const auto& control : function.control_ret()) {
    CKPT_ASSIGN_OR_RETURN(const OpId id, builder.Node(control.key(), control.value()));
    built.control_results.push_back(id);
  }
  built.body = builder.Take();
  return built;
}

}  // namespace ckpt::formats
