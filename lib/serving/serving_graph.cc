#include "serving/serving_graph.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <utility>

#include "ckpt/elements.h"
#include "fold/reason.h"
#include "serving/batch_statistics.h"
#include "serving/branches.h"
#include "serving/finish_graph.h"
#include "serving/op_facts.h"
#include "serving/outputs.h"
#include "serving/variables.h"

namespace ckpt {
namespace {

// What a number of TensorFlow's DataType is here, of the types that --feed gives.
std::optional<Dtype> FeedDtype(std::int32_t number) {
  switch (number) {
    case 1:
      return Dtype::kF32;
    case 2:
      return Dtype::kF64;
    case 3:
      return Dtype::kI32;
    case 9:
      return Dtype::kI64;
    case 10:
      return Dtype::kBool;
    case 19:
      return Dtype::kF16;
    default:
      return std::nullopt;
  }
}

class Rewriting {
 public:
  Rewriting(const Manifest& manifest, const ServingOptions& options)
      : manifest_(manifest), source_(*manifest.ops), options_(options), graph_(source_.top) {}

  Result<ServingGraph> Run() {
    CKPT_RETURN_IF_ERROR(Feed());
    CKPT_ASSIGN_OR_RETURN(ends_, FindServingEnds(graph_, source_, options_, result_.notes));
    for (const NamedEdge& output : ends_.outputs) roots_.push_back(output.edge);
    CKPT_RETURN_IF_ERROR(CutAtInputs());
    CKPT_RETURN_IF_ERROR(TakeServingBranch(graph_, source_, roots_, InputOps(), result_.notes));
    CKPT_RETURN_IF_ERROR(UseMovingStatistics(graph_, roots_, result_.notes));
    SkipIdentities();
    CKPT_RETURN_IF_ERROR(ReadVariables(graph_, manifest_, source_, roots_));
    CKPT_RETURN_IF_ERROR(CheckFunctions());
    Emit();
    CKPT_RETURN_IF_ERROR(CheckInputs());
    return std::move(result_);
  }

 private:
  Status Feed() {
    for (const auto& [name, text] : options_.feed) {
      CKPT_ASSIGN_OR_RETURN(const TensorName parsed, ParseTensorName(name));
      const auto id = graph_.Find(parsed.op);
      if (!id) {
        return Fail(ErrorCode::kInvalidArgument,
                    "--feed: the graph has no operation " + Quoted(parsed.op));
      }
      const auto number = OutputDtype(graph_.op(*id), parsed.output);
      const auto dtype = number ? FeedDtype(number->number) : std::nullopt;
      if (!dtype) {
        return Fail(ErrorCode::kInvalidArgument,
                    "--feed: " + Quoted(name) + " is not of a type that can be fed");
      }
      double value = 0;
      if (text == "true" || text == "True") {
        value = 1;
      } else if (text != "false" && text != "False") {
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
        if (error != std::errc() || end != text.data() + text.size() || text.empty())
          return Fail(ErrorCode::kInvalidArgument, "--feed: " + Quoted(text) + " is no number");
      }
      OpConstant constant{*dtype, {}, std::vector<std::byte>(BitSize(*dtype) / 8), {}};
      if (*dtype == Dtype::kBool) {
        constant.bytes = {static_cast<std::byte>(value != 0 ? 1 : 0)};
      } else {
        EncodeFromDouble(*dtype, std::span(&value, 1), constant.bytes);
      }
      const OpId fed =
          graph_.Add(MakeConstant(parsed.op + "/fed", number->number, std::move(constant)));
      graph_.Redirect({*id, parsed.output, {}}, {fed, 0, {}});
      result_.notes.push_back("the placeholder " + Quoted(name) + " is " + text + " (--feed)");
    }
    return {};
  }

  // What the user or the signature calls an input and is no placeholder becomes one.
  Status CutAtInputs() {
    for (NamedEdge& input : ends_.inputs) {
      const OpEdge edge = graph_.Resolve(input.edge);
      const Op& op = graph_.op(edge.op);
      if (IsPlaceholderType(op.type) || op.type == "PlaceholderWithDefault") {
        input.edge = edge;
        continue;
      }
      const auto dtype = OutputDtype(op, edge.output);
      if (!dtype) {
        return Fail(ErrorCode::kUnfit, "the type of the input " + Quoted(input.name) +
                                           " is not known: " + op.type + " does not record it");
      }
      Op placeholder;
      placeholder.name = input.name;
      placeholder.type = "Placeholder";
      placeholder.attrs["dtype"] = *dtype;
      placeholder.attrs["shape"] = OpShape{};
      const OpId id = graph_.Add(std::move(placeholder));
      graph_.Redirect(edge, {id, 0, {}});
      input.edge = {id, 0, {}};
    }
    return {};
  }

  std::vector<OpId> InputOps() const {
    std::vector<OpId> ids;
    for (const NamedEdge& input : ends_.inputs) ids.push_back(input.edge.op);
    return ids;
  }

  // An identity is only a name, unless it belongs to a condition or loop that stays.
  void SkipIdentities() {
    for (const OpId id : graph_.Ancestors(roots_, false)) {
      const Op& op = graph_.op(id);
      if (!IsIdentityType(op.type) || op.inputs.size() != 1) continue;
      const Op& input = graph_.InputOp(id, 0);
      if (IsSwitchType(input.type) || IsMergeType(input.type) || input.type == "Enter") continue;
      graph_.Redirect({id, 0, {}}, graph_.Input(id, 0));
    }
  }

  Status CheckFunctions() const {
    for (const OpId id : graph_.Ancestors(roots_, false)) {
      const Op& op = graph_.op(id);
      for (const auto& [name, attr] : op.attrs) {
        if (!std::holds_alternative<OpFunctionName>(attr) &&
            !std::holds_alternative<std::vector<OpFunctionName>>(attr)) {
          continue;
        }
        return Fail(ErrorCode::kUnsupported,
                    "the outputs need " + Quoted(op.name) + " (" + op.type +
                        "), which calls a function that cannot be written out");
      }
    }
    return {};
  }

  void Emit() {
    OpGraph& out = result_.graph;
    out.source = source_.source;
    out.kind = source_.kind;
    out.producer_version = source_.producer_version;
    out.file_record = source_.file_record;
    std::vector<std::string> names;
    for (const NamedEdge& output : ends_.outputs) names.push_back(output.name);
    out.top = FinishGraph(graph_, roots_, names);
    OpSignature signature;
    signature.name = ends_.signature;
    signature.method = ends_.method;
    for (std::size_t i = 0; i < roots_.size(); ++i) {
      const OpEdge& edge = roots_[i];
      signature.outputs[ends_.outputs[i].key] = ToTensorName(out.top.ops[edge.op], edge.output);
    }
    // Names are unique, so that they find what the ends mean.
    std::map<std::string, std::string> keys;
    for (const NamedEdge& input : ends_.inputs) keys[graph_.op(input.edge.op).name] = input.key;
    for (const Op& op : out.top.ops) {
      const auto key = keys.find(op.name);
      if (key != keys.end()) {
        signature.inputs[key->second] = ToTensorName(op, 0);
        keys.erase(key);
      } else if (IsPlaceholderType(op.type)) {
        signature.inputs[op.name] = ToTensorName(op, 0);
      }
    }
    for (const auto& [name, key] : keys)
      result_.notes.push_back("the input " + Quoted(key) + " is not read at inference");
    out.signatures.push_back(std::move(signature));
  }

  // With named inputs, nothing else may be asked for.
  Status CheckInputs() const {
    if (options_.inputs.empty()) return {};
    for (const auto& [key, tensor] : result_.graph.signatures.front().inputs) {
      const std::string& wanted = key;
      const bool named = std::any_of(ends_.inputs.begin(), ends_.inputs.end(),
                                     [&](const NamedEdge& input) { return input.key == wanted; });
      if (!named) {
        return Fail(ErrorCode::kUnfit, "the outputs need the placeholder " + Quoted(key) +
                                           " too, which --inputs does not name");
      }
    }
    return {};
  }

  const Manifest& manifest_;
  const OpGraph& source_;
  const ServingOptions& options_;
  WorkingGraph graph_;
  ServingEnds ends_;
  std::vector<OpEdge> roots_;
  ServingGraph result_;
};

}  // namespace

Result<ServingGraph> MakeServingGraph(const Manifest& manifest, const ServingOptions& options) {
  return Rewriting(manifest, options).Run();
}

}  // namespace ckpt
