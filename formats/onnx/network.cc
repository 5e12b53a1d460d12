#include "formats/onnx/network.h"

#include <map>
#include <set>
#include <utility>

#include "formats/onnx/graph_values.h"
#include "formats/onnx/layer_facts.h"
#include "formats/onnx/model_functions.h"
#include "formats/onnx/network_constants.h"
#include "formats/onnx/network_scope.h"
#include "formats/onnx/network_step.h"
#include "formats/onnx/node_attributes.h"
#include "formats/onnx/node_order.h"
#include "formats/onnx/tensor_places.h"

namespace ckpt::formats::onnx {
namespace {

using network::kNoValue;
using network::ValueId;
using onnx_proto::FunctionProto;
using onnx_proto::GraphProto;
using onnx_proto::NodeProto;
using onnx_proto::TensorProto;
using onnx_proto::ValueInfoProto;

// What functions and branches may come to, written out: nodes and what they read and yield, and
// sixteenths of inline elements.
constexpr std::uint64_t kMostParts = std::uint64_t{1} << 22;
constexpr std::size_t kMostCalls = 64;  // of functions within functions

using Contradictions = network::NetworkBuilder::Contradictions;

// What is written out in place of a node: functions and decided branches, or nothing.
enum class Extent : std::uint8_t { kEverything, kNodes };

class Translator {
 public:
  Translator(const onnx_proto::ModelProto& model, const Checkpoint& weights,
             const NetworkConstants& constants, Extent extent = Extent::kEverything)
      : model_(model),
        constants_(constants),
        extent_(extent),
        builder_(network::Origin::kOnnxGraph,
                 extent == Extent::kNodes ? Contradictions::kUnknown : Contradictions::kFail),
        known_(builder_, weights),
        functions_(model) {}

  Result<network::Network> Translate() && {
    NameScope scope;
    std::vector<std::string> wanted;
    for (const ValueInfoProto& output : model_.graph().output()) wanted.push_back(output.name());
    return TranslateMain(wanted, scope);
  }

  NodeNetwork TranslateNodes() && {
    NameScope scope;
    std::vector<std::string> wanted;
    for (const ValueInfoProto& output : model_.graph().output()) wanted.push_back(output.name());
    for (const NodeProto& node : model_.graph().node()) {
      wanted.insert(wanted.end(), node.output().begin(), node.output().end());
    }
    auto network = TranslateMain(wanted, scope);
    if (!network) return {};
    nodes_.resize(network->layers.size(), kNoNode);
    return {*std::move(network), std::move(nodes_), std::move(scope.values), known_.derived()};
  }

 private:
  Result<network::Network> TranslateMain(const std::vector<std::string>& wanted, NameScope& scope) {
    const GraphProto& graph = model_.graph();
    scope.opset = OpsetOf(model_);
    EnterGraph(graph, scope);
    for (const ValueInfoProto& input : graph.input()) {
      if (scope.constants.contains(input.name()) || scope.values.contains(input.name())) continue;
      scope.values[input.name()] =
          builder_.AddInput(input.name(), ShapeOf(input), ElementsOf(input));
    }
    CKPT_RETURN_IF_ERROR(TranslateNodes(graph.node(), wanted, scope));
    for (const ValueInfoProto& output : graph.output()) {
      CKPT_ASSIGN_OR_RETURN(const ValueId value, Find(output.name(), scope, "outputs"));
      builder_.AddOutput(output.name(), value);
    }
    CKPT_ASSIGN_OR_RETURN(network::Network network, std::move(builder_).Finish());
    NameOthers(network);
    return network;
  }

  Status Charge(std::uint64_t parts) {
    parts_ += parts;
    if (parts_ > kMostParts) {
      return Fail(ErrorCode::kLimitExceeded,
                  "its functions and branches make a network of more "
                  "than " +
                      std::to_string(kMostParts) + " parts");
    }
    return {};
  }

  void EnterGraph(const GraphProto& graph, NameScope& scope) {
    for (const TensorProto& tensor : graph.initializer()) {
      scope.constants.emplace(tensor.name(), &tensor);
    }
    for (const auto& sparse : graph.sparse_initializer()) {
      scope.missing[sparse.values().name()] = {sparse.values().name(), "sparse initializer", 0};
    }
    const auto [declared, is_new] = declared_.try_emplace(&graph);
    if (is_new) {
      for (const auto* list : {&graph.value_info(), &graph.output()}) {
        for (const ValueInfoProto& info : *list) declared->second[info.name()] = ShapeOf(info);
      }
    }
    scope.declared = &declared->second;
  }

  Status TranslateNodes(const Nodes& nodes, const std::vector<std::string>& wanted,
                        NameScope& scope) {
    auto order = orders_.find(&nodes);
    if (order == orders_.end()) {
      CKPT_ASSIGN_OR_RETURN(auto found, OrderNodes(nodes, wanted));
      order = orders_.emplace(&nodes, std::move(found)).first;
    }
    for (const int index : order->second) {
      if (scope.outer == nullptr && calls_.empty()) node_ = index;
      CKPT_RETURN_IF_ERROR(TranslateNode(nodes[index], scope));
    }
    return {};
  }

  // The node that is translated is this layer of the network.
  void StartLayer(const std::string& name, const std::string& op_type) {
    const std::uint32_t layer = builder_.StartLayer(name, op_type);
    nodes_.resize(layer, kNoNode);
    nodes_.push_back(node_);
  }

  // The value of a name, a constant of it being made when it is first read.
  Result<ValueId> Find(const std::string& name, NameScope& scope, const std::string& reader) {
    for (NameScope* at = &scope; at != nullptr; at = const_cast<NameScope*>(at->outer)) {
      if (const auto found = at->values.find(name); found != at->values.end()) return found->second;
      if (const auto found = at->constants.find(name); found != at->constants.end()) {
        return at->values[name] = AddConstant(*found->second, at->NameOf(name));
      }
      if (const auto found = at->missing.find(name); found != at->missing.end()) {
        const MissingOutput& what = found->second;
        builder_.StartLayer(what.layer, what.op_type);
        const std::string why = "its output " + std::to_string(what.output) + " is not translated";
        return at->values[name] =
                   builder_.Add(network::Unknown{what.op_type, why}, {}, at->NameOf(name));
      }
    }
    if (extent_ == Extent::kNodes) {
      builder_.StartLayer(name, "value");
      return scope.values[name] =
                 builder_.Add(network::Unknown{"value", "nothing yields it"}, {}, name);
    }
    return Fail(ErrorCode::kCorrupt,
                "\"" + reader + "\" reads \"" + name + "\", which nothing yields");
  }

  ValueId AddConstant(const TensorProto& tensor, const std::string& name) {
    const auto added = constants_.Add(builder_, tensor, name);
    if (added) return *added;
    builder_.StartLayer(name, "constant");
    return builder_.Add(network::Unknown{"constant", added.error()}, {}, name);
  }

  Status TranslateNode(const NodeProto& node, NameScope& scope) {
    CKPT_RETURN_IF_ERROR(
        Charge(1 + static_cast<std::uint64_t>(node.input_size() + node.output_size())));
    std::vector<ValueId> inputs;
    const std::string layer = LayerName(node, scope);
    for (const std::string& name : node.input()) {
      if (name.empty()) {
        inputs.push_back(kNoValue);
        continue;
      }
      CKPT_ASSIGN_OR_RETURN(const ValueId value, Find(name, scope, layer));
      inputs.push_back(value);
    }
    const FunctionProto* const function = functions_.CalledBy(node);
    if (function != nullptr && extent_ == Extent::kEverything) {
      return Call(node, *function, inputs, scope);
    }
    if (function == nullptr && IsAlias(node, inputs)) {
      scope.values[node.output(0)] = inputs[0];
      return {};
    }
    if (IsOnnxOperator(node) && node.op_type() == "If" && extent_ == Extent::kEverything) {
      if (const GraphProto* branch = BranchTaken(node, inputs, known_)) {
        return Inline(node, *branch, scope);
      }
    }
    return AddNode(node, std::move(inputs), function != nullptr, scope);
  }

  Status AddNode(const NodeProto& node, std::vector<ValueId> inputs, bool calls, NameScope& scope) {
    const std::string layer = LayerName(node, scope);
    CKPT_ASSIGN_OR_RETURN(std::vector<ValueId> operands, OperandsOf(node, inputs, scope));
    StartLayer(layer, node.op_type());
    Step step(builder_, known_, node, scope.arguments, scope.opset, std::move(inputs),
              node.output_size() > 0 ? scope.NameOf(node.output(0)) : std::string());
    Outcome outcome = Cannot("it is a function, or refers to attributes of one");
    // In the main graph nothing gives a node what it refers to.
    if (!calls && (extent_ == Extent::kEverything || !HasReferences(node))) {
      CKPT_ASSIGN_OR_RETURN(outcome, Apply(node, step, scope));
    }
    if (outcome) {
      Bind(node, *outcome, layer, scope);
      return {};
    }
    const std::string domain = IsOnnxOperator(node) ? "" : node.domain() + ".";
    auto made = builder_.AddMany(network::Unknown{domain + node.op_type(), outcome.error()},
                                 std::move(operands), static_cast<std::size_t>(node.output_size()),
                                 step.name());
    Bind(node, made, layer, scope);
    return {};
  }

  // A constant under another name.
  bool IsAlias(const NodeProto& node, const std::vector<ValueId>& inputs) const {
    return node.op_type() == "Identity" && IsOnnxOperator(node) && inputs.size() == 1 &&
           node.output_size() == 1 && inputs[0] != kNoValue &&
           builder_.value(inputs[0]).constant.has_value();
  }

  Result<Outcome> Apply(const NodeProto& node, Step& step, NameScope& scope) {
    if (!IsOnnxOperator(node)) return Outcome(Cannot("it is no operator of ONNX"));
    if (scope.opset > kNewestOpset || scope.opset < 1) {
      return Outcome(Cannot("operator set " + std::to_string(scope.opset) + " is not known here"));
    }
    if (node.op_type() == "Constant") return ConstantNode(step);
    if (node.op_type() == "ConstantOfShape") return FilledShape(step);
    const OperatorRule* rule = FindOperatorRule(node.op_type());
    if (rule == nullptr) {
      return Outcome(Cannot(node.op_type() == "If" ? "its condition depends on the data"
                                                   : "the operator is not translated"));
    }
    return rule->translate(step);
  }

  // What an operator that is not understood may depend on: what graphs within it read, too.
  Result<std::vector<ValueId>> OperandsOf(const NodeProto& node, std::vector<ValueId> operands,
                                          NameScope& scope) {
    for (const std::string& name : CapturedNames(node)) {
      CKPT_ASSIGN_OR_RETURN(const ValueId value, Find(name, scope, LayerName(node, scope)));
      operands.push_back(value);
    }
    return operands;
  }

  Result<Outcome> ConstantNode(Step& step) {
    if (const auto* value = step.Find("value"); value != nullptr && value->has_t()) {
      auto added = constants_.Add(builder_, value->t(), step.name());
      if (!added) return Outcome(Cannot(added.error()));
      return Outcome(std::vector<ValueId>{*added});
    }
    auto constant = ListedConstant(step);
    if (!constant) return Outcome(Cannot(constant.error()));
    CKPT_RETURN_IF_ERROR(Charge(constant->elements.size() / 16));
    return Outcome(std::vector<ValueId>{builder_.AddInline(*std::move(constant), step.name())});
  }

  Result<Outcome> FilledShape(Step& step) {
    network::Fill fill;
    if (const auto* value = step.Find("value"); value != nullptr && value->has_t()) {
      const auto constant = constants_.Read(value->t());
      if (!constant || constant->elements.size() != 1) {
        return Outcome(Cannot("what it fills in is no number"));
      }
      fill = {constant->elements[0], constant->kind};
    }
    return step.Yield(fill, {step.Input(0)});
  }

  void Bind(const NodeProto& node, const std::vector<ValueId>& values, const std::string& layer,
            NameScope& scope) {
    for (int i = 0; i < node.output_size(); ++i) {
      const std::string& name = node.output(i);
      if (name.empty()) continue;
      const auto at = static_cast<std::size_t>(i);
      if (at >= values.size()) {
        scope.missing[name] = {layer, node.op_type(), i};
        continue;
      }
      scope.values[name] = values[at];
      if (i > 0) others_.emplace_back(values[at], scope.NameOf(name));
      if (scope.declared == nullptr) continue;
      const auto declared = scope.declared->find(name);
      if (declared != scope.declared->end()) builder_.Record(values[at], declared->second);
    }
  }

  // The outputs of `names`, in their order, are those of the node.
  Status TakeOutputs(const NodeProto& node, const std::vector<std::string>& names, NameScope& inner,
                     NameScope& scope) {
    for (int i = 0; i < node.output_size(); ++i) {
      if (node.output(i).empty()) continue;
      const auto at = static_cast<std::size_t>(i);
      CKPT_ASSIGN_OR_RETURN(const ValueId value, Find(names[at], inner, LayerName(node, scope)));
      scope.values[node.output(i)] = value;
    }
    return {};
  }

  Status Inline(const NodeProto& node, const GraphProto& branch, NameScope& scope) {
    CKPT_RETURN_IF_ERROR(Charge(static_cast<std::uint64_t>(branch.initializer_size())));
    NameScope inner;
    inner.outer = &scope;
    inner.opset = scope.opset;
    inner.arguments = scope.arguments;
    inner.path = scope.path;
    EnterGraph(branch, inner);
    std::vector<std::string> wanted;
    for (const ValueInfoProto& output : branch.output()) wanted.push_back(output.name());
    RenameOutputs(node, wanted, scope, inner);
    CKPT_RETURN_IF_ERROR(TranslateNodes(branch.node(), wanted, inner));
    return TakeOutputs(node, wanted, inner, scope);
  }

  Status Call(const NodeProto& node, const FunctionProto& function,
              const std::vector<ValueId>& inputs, NameScope& scope) {
    if (calls_.contains(&function)) {
      return Fail(ErrorCode::kCorrupt, "the function \"" + function.name() + "\" calls itself");
    }
    if (calls_.size() >= kMostCalls) {
      return Fail(ErrorCode::kLimitExceeded,
                  "functions call one another more than " + std::to_string(kMostCalls) + " deep");
    }
    if (node.input_size() > function.input_size() || node.output_size() > function.output_size()) {
      return Fail(ErrorCode::kCorrupt, "\"" + LayerName(node, scope) + "\" calls the function \"" +
                                           function.name() + "\" with more than it takes");
    }
    NameScope inner;
    inner.opset = OpsetOfFunction(function, scope.opset);
    inner.path = LayerName(node, scope) + "/";
    inner.arguments = ArgumentsOf(node, function, scope.arguments);
    for (int i = 0; i < function.input_size(); ++i) {
      const auto at = static_cast<std::size_t>(i);
      inner.values[function.input(i)] = at < inputs.size() ? inputs[at] : kNoValue;
    }
    const std::vector<std::string> wanted(function.output().begin(), function.output().end());
    RenameOutputs(node, wanted, scope, inner);
    calls_.insert(&function);
    const Status status = TranslateNodes(function.node(), wanted, inner);
    calls_.erase(&function);
    CKPT_RETURN_IF_ERROR(status);
    return TakeOutputs(node, wanted, inner, scope);
  }

  // The names of outputs behind a node's first one.
  void NameOthers(network::Network& network) const {
    std::set<std::string> names;
    for (const network::Value& value : network.values) names.insert(value.name);
    for (const auto& [id, name] : others_) {
      network::Value& value = network.values[id.index];
      if (value.name.empty() && names.insert(name).second) value.name = name;
    }
  }

  const onnx_proto::ModelProto& model_;
  const NetworkConstants& constants_;
  const Extent extent_;
  network::NetworkBuilder builder_;
  KnownElements known_;
  const ModelFunctions functions_;
  std::set<const FunctionProto*> calls_ = {};
  std::map<const Nodes*, std::vector<int>> orders_ = {};
  std::map<const GraphProto*, std::map<std::string, network::PartialShape>> declared_ = {};
  std::vector<std::pair<ValueId, std::string>> others_ = {};
  std::uint64_t parts_ = 0;
  int node_ = kNoNode;           // of the main graph, that is being translated
  std::vector<int> nodes_ = {};  // by layer
};

}  // namespace

Result<network::Network> MakeNetwork(onnx_proto::ModelProto& model, const Checkpoint& weights) {
  CKPT_ASSIGN_OR_RETURN(const NetworkConstants constants, NetworkConstants::Make(model, weights));
  return Translator(model, weights, constants).Translate();
}

NodeNetwork MakeNodeNetwork(onnx_proto::ModelProto& model, const Checkpoint& weights) {
  const auto constants = NetworkConstants::Make(model, weights);
  if (!constants) return {};
  return Translator(model, weights, *constants, Extent::kNodes).TranslateNodes();
}

}  // namespace ckpt::formats::onnx
