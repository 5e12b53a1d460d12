#include "serving/serving_graph.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <set>
#include <utility>

#include "ckpt/elements.h"
#include "ckpt/op_batch_norm.h"
#include "ckpt/op_serving.h"
#include "convert/name_list.h"
#include "fold/reason.h"
#include "serving/active_randomness.h"
#include "serving/batch_statistics.h"
#include "serving/branches.h"
#include "serving/finish_graph.h"
#include "serving/kept_functions.h"
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
    const std::vector<OpId> inputs = InputOps();
    const bool named = !options_.inputs.empty();  // what the user calls an input stays one
    CKPT_RETURN_IF_ERROR(TakeServingBranch(graph_, source_, roots_,
                                           named ? inputs : std::vector<OpId>(),
                                           named ? std::vector<OpId>() : inputs, result_.notes));
    CKPT_RETURN_IF_ERROR(CloseTrainingMode());
    SkipIdentities();
    CKPT_RETURN_IF_ERROR(ReadVariables(graph_, manifest_, source_, roots_));
    CKPT_ASSIGN_OR_RETURN(result_.graph.functions, KeepFunctions(graph_, source_, roots_));
    Emit();
    CKPT_RETURN_IF_ERROR(JudgeWritten());
    CKPT_RETURN_IF_ERROR(CheckInputs());
    return std::move(result_);
  }

 private:
  Status Feed() {
    for (const auto& [name, text] : options_.feed) {
      CKPT_ASSIGN_OR_RETURN(const std::vector<TensorName> tensors, FedTensors(name));
      for (const TensorName& tensor : tensors) CKPT_RETURN_IF_ERROR(FeedOne(name, text, tensor));
      result_.notes.push_back("the placeholder " + Quoted(name) + " is " + text + " (--feed)");
    }
    return {};
  }

  // What a name of --feed means: the inputs of signatures that are called so, else a tensor.
  Result<std::vector<TensorName>> FedTensors(const std::string& name) const {
    std::vector<TensorName> tensors;
    for (const OpSignature& signature : source_.signatures) {
      const auto input = signature.inputs.find(name);
      if (input == signature.inputs.end()) continue;
      CKPT_ASSIGN_OR_RETURN(TensorName tensor, ParseTensorName(input->second));
      tensors.push_back(std::move(tensor));
    }
    if (tensors.empty()) {
      CKPT_ASSIGN_OR_RETURN(TensorName tensor, ParseTensorName(name));
      tensors.push_back(std::move(tensor));
    }
    return tensors;
  }

  Status FeedOne(const std::string& name, const std::string& text, const TensorName& tensor) {
    const auto id = graph_.Find(tensor.op);
    if (!id) {
      return Fail(ErrorCode::kInvalidArgument,
                  "--feed: no signature has an input, and the graph no operation, called " +
                      Quoted(tensor.op));
    }
    const auto number = OutputDtype(graph_.op(*id), tensor.output);
    const auto dtype = number ? FeedDtype(number->number) : std::nullopt;
    if (!dtype) {
      return Fail(ErrorCode::kInvalidArgument,
                  "--feed: " + Quoted(name) + " is not of a type that can be fed");
    }
    CKPT_ASSIGN_OR_RETURN(const double value, FedNumber(text));
    OpConstant constant{*dtype, {}, std::vector<std::byte>(BitSize(*dtype) / 8), {}};
    if (*dtype == Dtype::kBool) {
      constant.bytes = {static_cast<std::byte>(value != 0 ? 1 : 0)};
    } else {
      EncodeFromDouble(*dtype, std::span(&value, 1), constant.bytes);
    }
    const OpId fed =
        graph_.Add(MakeConstant(tensor.op + "/fed", number->number, std::move(constant)));
    graph_.Redirect({*id, tensor.output, {}}, {fed, 0, {}});
    fed_.insert(fed);
    return {};
  }

  static Result<double> FedNumber(const std::string& text) {
    if (text == "true" || text == "True") return 1.0;
    if (text == "false" || text == "False") return 0.0;
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || text.empty())
      return Fail(ErrorCode::kInvalidArgument, "--feed: " + Quoted(text) + " is no number");
    return value;
  }

  // What the user or the signature calls an input and is no placeholder becomes one.
  Status CutAtInputs() {
    std::erase_if(ends_.inputs, [&](const NamedEdge& input) {  // what is fed is no input any more
      return fed_.contains(graph_.Resolve(input.edge).op);
    });
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

  // A graph that trains is closed: that is the job. One that serves as it is computes something
  // else afterwards, and the user has to say that it may.
  Status CloseTrainingMode() {
    CKPT_ASSIGN_OR_RETURN(const auto closed, UseMovingStatistics(graph_, roots_));
    if (closed.empty()) return {};
    if (!IsServingArtefact(OpBodies(source_))) {
      result_.notes.push_back(
          "batch statistics were replaced by the moving statistics that they update");
      return {};
    }
    if (!options_.close_training_mode) {
      NameList names;
      for (const ClosedStatistic& statistic : closed) names.AddOnce(statistic.reader);
      return Fail(ErrorCode::kUnfit,
                  "batch norm in training mode: " + names.text() +
                      ": wherever the graph is served it normalises with the statistics of its "
                      "batch, and what is written would not; --close-training-mode makes it use "
                      "its moving statistics");
    }
    for (const ClosedStatistic& statistic : closed) {
      result_.closed.push_back(
          {graph_.op(statistic.variable).name, Quoted(statistic.reader) + " is in training mode"});
    }
    return {};
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

  // What no rewriting reaches: batch norms in functions that stay, random numbers.
  Status JudgeWritten() {
    const OpBodies bodies(result_.graph);
    if (bodies.size() > 1) {
      for (const OpBatchNorm& norm : FindBatchNorms(bodies).norms) {
        const bool trains =
            norm.mode == OpBatchNormMode::kTraining || norm.mode == OpBatchNormMode::kSwitched;
        if (norm.body == 0 || !trains) continue;
        return Fail(
            ErrorCode::kUnfit,
            "batch norm in training mode: " + Quoted(bodies.Describe({norm.body, norm.output})) +
                " stands in a function that a loop or a conditional calls, where it cannot "
                "be made to use its moving statistics");
      }
    }
    for (std::string& note : TellRandomness(bodies)) result_.notes.push_back(std::move(note));
    return {};
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
  std::set<OpId> fed_;  // the constants that --feed gave
  ServingGraph result_;
};

}  // namespace

Result<ServingGraph> MakeServingGraph(const Manifest& manifest, const ServingOptions& options) {
  return Rewriting(manifest, options).Run();
}

}  // namespace ckpt
