#include "serving/serving_graph.h"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <map>
#include <set>
#include <utility>

#include "ckpt/elements.h"
#include "ckpt/op_batch_norm.h"
#include "ckpt/op_serving.h"
#include "core/name_list.h"
#include "fold/reason.h"
#include "serving/active_randomness.h"
#include "serving/batch_statistics.h"
#include "serving/branches.h"
#include "serving/derived_outputs.h"
#include "serving/finish_graph.h"
#include "serving/initialization.h"
#include "serving/kept_functions.h"
#include "serving/op_facts.h"
#include "serving/outputs.h"
#include "serving/signature_effects.h"
#include "serving/variables.h"

namespace ckpt {
namespace {

auto Misfed(std::string what) {
  return Fail(Error{ErrorCode::kInvalidArgument, std::move(what)}.About(Setting::kFeed));
}

// What a number of TensorFlow's DataType is here, of the types that can be fed.
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
    CKPT_ASSIGN_OR_RETURN(ServingEnds ends,
                          FindServingEnds(graph_, source_, options_, result_.notes));
    signatures_ = std::move(ends.signatures);
    result_.dropped_signatures = std::move(ends.dropped);
    TakeRoots();
    CKPT_RETURN_IF_ERROR(CutAtInputs());
    const std::vector<OpId> inputs = InputOps();
    const bool named = !options_.inputs.empty();  // what the user calls an input stays one
    CKPT_RETURN_IF_ERROR(TakeServingBranch(graph_, source_, roots_,
                                           named ? inputs : std::vector<OpId>(),
                                           named ? std::vector<OpId>() : inputs, result_.notes));
    CKPT_RETURN_IF_ERROR(DropWhatDoesNotServe(graph_, source_, signatures_,
                                              result_.dropped_signatures, result_.notes));
    DropWhatTrains();
    TakeRoots();
    CKPT_RETURN_IF_ERROR(CloseTrainingMode());
    CKPT_ASSIGN_OR_RETURN(initialization_, FindInitialization(graph_, source_, roots_));
    for (const OpId id : initialization_.ops) roots_.push_back({id, 0, {}});
    SkipIdentities();
    CKPT_RETURN_IF_ERROR(ReadVariables(graph_, manifest_, source_, roots_, initialization_.stays));
    CKPT_ASSIGN_OR_RETURN(result_.graph.functions, KeepFunctions(graph_, source_, roots_));
    CKPT_RETURN_IF_ERROR(Emit());
    CKPT_RETURN_IF_ERROR(JudgeWritten());
    CKPT_RETURN_IF_ERROR(CheckSources());
    CKPT_RETURN_IF_ERROR(CheckInputs());
    return std::move(result_);
  }

 private:
  Status Feed() {
    for (const auto& [name, text] : options_.feed) {
      CKPT_ASSIGN_OR_RETURN(const std::vector<TensorName> tensors, FedTensors(name));
      for (const TensorName& tensor : tensors) CKPT_RETURN_IF_ERROR(FeedOne(name, text, tensor));
      result_.notes.push_back("the placeholder " + Quoted(name) + " is given the value " + text);
    }
    return {};
  }

  // What the name of a fed value means: the inputs of signatures that are called so, else a tensor.
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
      return Misfed("no signature has an input, and the graph no operation, called " +
                    Quoted(tensor.op));
    }
    const auto number = OutputDtype(graph_.op(*id), tensor.output);
    const auto dtype = number ? FeedDtype(number->number) : std::nullopt;
    if (!dtype) {
      return Misfed(Quoted(name) + " is not of a type that can be fed");
    }
    CKPT_ASSIGN_OR_RETURN(const double value, FedNumber(text));
    OpConstant constant{*dtype, {}, std::vector<std::byte>(BitSize(*dtype) / 8), {}};
    EncodeFromDouble(*dtype, std::span(&value, 1), constant.bytes);
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
      return Misfed(Quoted(text) + " is no number");
    return value;
  }

  // All outputs of all signatures.
  void TakeRoots() {
    roots_.clear();
    for (const ServingSignature& signature : signatures_) {
      for (const NamedEdge& output : signature.outputs) roots_.push_back(output.edge);
    }
  }

  // What the user or a signature calls an input and is no placeholder becomes one.
  Status CutAtInputs() {
    for (ServingSignature& signature : signatures_) {
      std::erase_if(signature.inputs, [&](const NamedEdge& input) {  // fed: no input any more
        return fed_.contains(graph_.Resolve(input.edge).op);
      });
      for (NamedEdge& input : signature.inputs) input.edge = graph_.Resolve(input.edge);
    }
    for (ServingSignature& signature : signatures_) {
      for (NamedEdge& input : signature.inputs) {
        input.edge = graph_.Resolve(input.edge);
        const Op& op = graph_.op(input.edge.op);
        if (IsPlaceholderType(op.type) || op.type == "PlaceholderWithDefault") continue;
        CKPT_RETURN_IF_ERROR(Cut(signature, input));
      }
    }
    return {};
  }

  Status Cut(const ServingSignature& signature, NamedEdge& input) {
    const OpEdge edge = input.edge;
    if (!input.type.dtype) {
      return Fail(ErrorCode::kUnfit, "the type of the input " + Quoted(input.name) +
                                         " is not known: " + graph_.op(edge.op).type +
                                         " does not record it");
    }
    Op placeholder;
    placeholder.name = graph_.op(edge.op).name;
    placeholder.type = "Placeholder";
    placeholder.attrs["dtype"] = *input.type.dtype;
    placeholder.attrs["shape"] = input.type.shape;
    if (IsComputedElsewhere(signature, edge)) {
      // Its value where another signature is asked.
      placeholder.type = "PlaceholderWithDefault";
      Op computed = graph_.op(edge.op);
      computed.name += "/computed";
      placeholder.inputs = {{graph_.Add(std::move(computed)), edge.output, {}}};
    }
    if (edge.output == 0) graph_.op(edge.op).name += "/replaced";
    const std::string name = placeholder.name;
    const OpId id = graph_.Add(std::move(placeholder));
    if (edge.output == 0) graph_.op(id).name = name;
    graph_.Redirect(edge, {id, 0, {}});
    input.edge = {id, 0, {}};
    return {};
  }

  using Tensor = std::pair<OpId, std::uint32_t>;

  // Does another signature reach the edge without being given it?
  bool IsComputedElsewhere(const ServingSignature& given, const OpEdge& edge) {
    if (!computed_by_) {
      computed_by_.emplace();
      for (const ServingSignature& signature : signatures_) FindWhatIsComputed(signature);
    }
    const auto found = computed_by_->find({edge.op, edge.output});
    if (found == computed_by_->end()) return false;
    return found->second.size() > 1 || *found->second.begin() != &given;
  }

  // Of what signatures are given, what this one computes.
  void FindWhatIsComputed(const ServingSignature& signature) {
    std::set<Tensor> given;
    for (const ServingSignature& any : signatures_) {
      for (const NamedEdge& input : any.inputs) given.insert({input.edge.op, input.edge.output});
    }
    std::set<OpId> cut;
    for (const NamedEdge& input : signature.inputs) cut.insert(input.edge.op);
    std::vector<OpEdge> pending;
    for (const NamedEdge& output : signature.outputs) pending.push_back(output.edge);
    std::vector<bool> seen(graph_.size(), false);
    while (!pending.empty()) {
      const OpEdge at = graph_.Resolve(pending.back());
      pending.pop_back();
      if (cut.contains(at.op)) continue;
      if (given.contains({at.op, at.output}))
        (*computed_by_)[{at.op, at.output}].insert(&signature);
      if (seen[at.op]) continue;
      seen[at.op] = true;
      const auto& inputs = graph_.op(at.op).inputs;
      pending.insert(pending.end(), inputs.begin(), inputs.end());
    }
  }

  std::vector<OpId> InputOps() const {
    std::vector<OpId> ids;
    for (const ServingSignature& signature : signatures_) {
      for (const NamedEdge& input : signature.inputs) ids.push_back(input.edge.op);
    }
    return ids;
  }

  static std::vector<OpEdge> OutputsOf(const ServingSignature& signature) {
    std::vector<OpEdge> edges;
    for (const NamedEdge& output : signature.outputs) edges.push_back(output.edge);
    return edges;
  }

  // The statistics of the batch that outputs are computed with; none where some cannot be closed.
  std::vector<ClosedStatistic> InTrainingMode(const std::vector<OpEdge>& outputs) const {
    WorkingGraph trial = graph_;
    auto closed = UseMovingStatistics(trial, outputs);
    return closed ? *std::move(closed) : std::vector<ClosedStatistic>();
  }

  // A signature that updates the moving statistics with which the first one serves trains. Closed,
  // as the user may ask, it would serve what the first one does.
  void DropWhatTrains() {
    if (options_.close_training_mode || signatures_.size() < 2) return;
    const std::vector<OpEdge> first = OutputsOf(signatures_.front());
    if (!InTrainingMode(first).empty()) return;
    const std::vector<OpId> reached = graph_.Ancestors(first, false);
    const std::set<OpId> served(reached.begin(), reached.end());
    std::vector<ServingSignature> kept;
    for (ServingSignature& signature : signatures_) {
      const auto training = InTrainingMode(OutputsOf(signature));
      const bool trains =
          !training.empty() && std::all_of(training.begin(), training.end(), [&](const auto& one) {
            return served.contains(one.variable);
          });
      if (!trains) {
        kept.push_back(std::move(signature));
        continue;
      }
      result_.dropped_signatures.push_back(
          {signature.name, "it trains: " + Quoted(training.front().reader) +
                               " normalises with the statistics of its batch and updates " +
                               Quoted(graph_.op(training.front().variable).name)});
    }
    signatures_ = std::move(kept);
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
      return Fail(
          Error{ErrorCode::kUnfit,
                "batch norm in training mode: " + names.text() +
                    ": wherever the graph is served it normalises with the statistics of its "
                    "batch, and what is written would not"}
              .With(Remedy::kCloseTrainingMode));
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

  Status Emit() {
    OpGraph& out = result_.graph;
    out.source = source_.source;
    out.kind = source_.kind;
    out.producer_version = source_.producer_version;
    out.file_record = source_.file_record;
    const std::optional<OpId> initializer = AddInitializer();
    std::vector<GraphOutput> outputs;
    for (const ServingSignature& signature : signatures_) {
      for (const NamedEdge& output : signature.outputs)
        outputs.push_back({output.edge, output.name, output.type.dtype});
    }
    CKPT_ASSIGN_OR_RETURN(out.top, FinishGraph(graph_, outputs, initializer));
    if (initializer) out.initializer = graph_.op(*initializer).name;
    for (const OpAsset& asset : source_.assets) {
      const auto parsed = ParseTensorName(asset.tensor);
      if (parsed && out.top.Find(parsed->op)) out.assets.push_back(asset);
    }
    auto next = outputs.begin();
    for (const ServingSignature& signature : signatures_) {
      const std::vector<GraphOutput> own(next, next + std::ssize(signature.outputs));
      next += std::ssize(signature.outputs);
      EmitSignature(signature, own);
    }
    return {};
  }

  // The operation that runs all that has to run before the graph serves.
  std::optional<OpId> AddInitializer() {
    if (initialization_.ops.empty()) return std::nullopt;
    Op all;
    all.name = "initialize";
    all.type = "NoOp";
    all.control_inputs = initialization_.ops;
    return graph_.Add(std::move(all));
  }

  void EmitSignature(const ServingSignature& from, const std::vector<GraphOutput>& outputs) {
    OpGraph& out = result_.graph;
    OpSignature signature{from.name, from.method};
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      const std::string& key = from.outputs[i].key;
      signature.outputs[key] = ToTensorName(out.top.ops[outputs[i].edge.op], 0);
      signature.output_types[key] = from.outputs[i].type;
    }
    // Names are unique, so that they find what the ends mean.
    std::map<std::string, const NamedEdge*> inputs;
    for (const NamedEdge& input : from.inputs) inputs[graph_.op(input.edge.op).name] = &input;
    const std::vector<bool> needed = NeededBy(out.top, outputs, inputs);
    for (OpId id = 0; id < out.top.ops.size(); ++id) {
      const Op& op = out.top.ops[id];
      if (!needed[id]) continue;
      const auto input = inputs.find(op.name);
      if (input != inputs.end()) {
        signature.inputs[input->second->key] = ToTensorName(op, 0);
        signature.input_types[input->second->key] = input->second->type;
        inputs.erase(input);
      } else if (IsPlaceholderType(op.type)) {
        signature.inputs[op.name] = ToTensorName(op, 0);
        signature.input_types[op.name] = RecordedType(op, 0);
      }
    }
    for (const auto& [name, input] : inputs)
      result_.notes.push_back("the input " + Quoted(input->key) + " is not read at inference");
    if (signature.inputs.empty())
      result_.notes.push_back("the signature " + Quoted(from.name) + " takes no input");
    out.signatures.push_back(std::move(signature));
  }

  // What no rewriting reaches: batch norms in functions that stay, statistics of the batch that no
  // variable follows, random numbers.
  Status JudgeWritten() {
    const OpBodies bodies(result_.graph);
    const OpBatchNorms found = FindBatchNorms(bodies);
    const std::vector<std::size_t> training = TraceServing(bodies, found).training_norms;
    for (std::size_t i = 0; i < found.norms.size(); ++i) {
      const OpBatchNorm& norm = found.norms[i];
      const bool trains = std::binary_search(training.begin(), training.end(), i);
      const bool inner = norm.body != 0 && norm.mode == OpBatchNormMode::kSwitched;
      if (!trains && !inner) continue;
      const std::string why = norm.body == 0
                                  ? " normalises with the statistics of its batch, and nothing "
                                    "shows which variables are its moving statistics"
                                  : " stands in a function that a loop or a conditional calls, "
                                    "where it cannot be made to use its moving statistics";
      return Fail(ErrorCode::kUnfit, "batch norm in training mode: " +
                                         Quoted(bodies.Describe({norm.body, norm.output})) + why);
    }
    for (std::string& note : TellRandomness(bodies)) result_.notes.push_back(std::move(note));
    return {};
  }

  // What lies before an input that is given is not needed.
  static std::vector<bool> NeededBy(const OpBody& body, const std::vector<GraphOutput>& outputs,
                                    const std::map<std::string, const NamedEdge*>& inputs) {
    std::vector<bool> needed(body.ops.size(), false);
    std::vector<OpId> pending;
    for (const GraphOutput& output : outputs) pending.push_back(output.edge.op);
    while (!pending.empty()) {
      const OpId id = pending.back();
      pending.pop_back();
      if (needed[id]) continue;
      needed[id] = true;
      if (inputs.contains(body.ops[id].name)) continue;
      for (const OpEdge& input : body.ops[id].inputs) pending.push_back(input.op);
    }
    return needed;
  }

  // A served file has no iterator, queue or reader.
  Status CheckSources() const {
    for (const Op& op : result_.graph.top.ops) {
      if (!IsExampleSourceType(op.type)) continue;
      return Fail(Error{ErrorCode::kUnfit,
                        "the outputs read " + Quoted(op.name) + " (" + op.type +
                            "), from which a training program takes its examples and which a "
                            "served file does not have; " +
                            CandidateEnds(WorkingGraph(source_.top))}
                      .With(Remedy::kNameInputs));
    }
    return {};
  }

  // With named inputs, nothing else may be asked for.
  Status CheckInputs() const {
    if (options_.inputs.empty()) return {};
    const ServingSignature& ends = signatures_.front();
    for (const auto& [key, tensor] : result_.graph.signatures.front().inputs) {
      const std::string& wanted = key;
      const bool named = std::any_of(ends.inputs.begin(), ends.inputs.end(),
                                     [&](const NamedEdge& input) { return input.key == wanted; });
      if (!named) {
        return Fail(Error{ErrorCode::kUnfit, "the outputs need the placeholder " + Quoted(key) +
                                                 " too, which is not among the named inputs"}
                        .With(Remedy::kNameInputs));
      }
    }
    return {};
  }

  const Manifest& manifest_;
  const OpGraph& source_;
  const ServingOptions& options_;
  WorkingGraph graph_;
  std::vector<ServingSignature> signatures_;
  // Which signatures compute what some signature is given.
  std::optional<std::map<Tensor, std::set<const ServingSignature*>>> computed_by_ = {};
  std::vector<OpEdge> roots_;
  std::set<OpId> fed_;  // the constants that --feed gave
  Initialization initialization_;
  ServingGraph result_;
};

}  // namespace

Result<ServingGraph> MakeServingGraph(const Manifest& manifest, const ServingOptions& options) {
  return Rewriting(manifest, options).Run();
}

}  // namespace ckpt
