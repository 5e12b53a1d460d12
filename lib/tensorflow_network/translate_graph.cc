#include "tensorflow_network/translate_graph.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "ckpt/elements.h"
#include "ckpt/network/element_kind.h"
#include "serving/op_facts.h"
#include "tensorflow_network/node.h"

namespace ckpt {
namespace tf_network {
namespace {

constexpr std::uint32_t kMostResults = 1u << 16;

// Numbers of types.proto that no value of a network has, and what people call them.
std::string_view WhatIsNoNumber(std::int32_t dtype) {
  switch (dtype) {
    case kTfString:
      return "strings";
    case 8:   // complex64
    case 18:  // complex128
      return "complex numbers";
    case kTfResource:
    case kTfVariant:
      return "no tensor of numbers";
    case 11:  // qint8
    case 12:  // quint8
    case 13:  // qint32
    case 15:  // qint16
    case 16:  // quint16
      return "quantised integers";
    default:
      return {};
  }
}

class Translator {
 public:
  // `values` reads small tensors; null: none is read.
  Translator(const OpGraph& graph, const std::vector<TensorInfo>& tensors,
             const TensorOfNetwork& tensor_of, const Checkpoint* values,
             NetworkBuilder::Contradictions contradictions)
      : graph_(graph),
        tensors_(tensors),
        tensor_of_(tensor_of),
        tensor_values_(values),
        builder_(network::Origin::kTensorFlowGraph, contradictions),
        known_(builder_),
        layers_(graph.top.ops.size()) {}

  Result<network::Network> RunSignature(std::size_t which, const std::vector<std::string>& notes) {
    if (graph_.signatures.empty()) return Fail(ErrorCode::kUnsupported, "nothing is served");
    const OpSignature& signature = graph_.signatures[which];
    CKPT_ASSIGN_OR_RETURN(const Edges inputs, EdgesOf(signature.inputs));
    CKPT_ASSIGN_OR_RETURN(const Edges outputs, EdgesOf(signature.outputs));
    for (const std::string& note : notes) builder_.AddNote(note);
    for (const auto& [key, edge] : inputs) TakeInput(key, edge, signature);
    CKPT_RETURN_IF_ERROR(TranslateFor(outputs));
    return std::move(builder_).Finish();
  }

  Result<PlacedNetwork> RunAll(const std::vector<OpEdge>& outputs) {
    Edges named;
    for (const OpEdge& edge : outputs) {
      if (edge.output >= kMostResults) {
        return Fail(ErrorCode::kCorrupt, "no operation yields such an output");
      }
      named.emplace_back(graph_.top.ops[edge.op].name + ':' + std::to_string(edge.output), edge);
    }
    for (OpId id = 0; id < graph_.top.ops.size(); ++id) {
      const Op& op = graph_.top.ops[id];
      if (op.type == "PlaceholderWithDefault") AddInput(op.name, {id, 0, {}}, nullptr);
    }
    CKPT_RETURN_IF_ERROR(TranslateFor(named));
    PlacedNetwork placed;
    CKPT_ASSIGN_OR_RETURN(placed.network, std::move(builder_).Finish());
    placed.layers = std::move(layers_);
    placed.values = std::move(values_);
    return placed;
  }

 private:
  using Edges = std::vector<std::pair<std::string, OpEdge>>;

  Status TranslateFor(const Edges& outputs) {
    FindNeeded(outputs);
    for (const std::uint32_t results : results_) {
      // An edge may name any output of an operation that is not known.
      if (results > 1 && !known_.MayPart(results)) {
        return Fail(ErrorCode::kLimitExceeded, "the operations of the graph yield too many values");
      }
    }
    for (OpId id = 0; id < graph_.top.ops.size(); ++id) {
      if (results_[id] != 0) TranslateOp(id);
    }
    for (const auto& [key, edge] : outputs) {
      const auto value = values_.find({edge.op, edge.output});
      if (value == values_.end() || value->second == kNoValue) {
        return Fail(ErrorCode::kInternal, "the output \"" + key + "\" has no value");
      }
      builder_.AddOutput(key, value->second);
    }
    return {};
  }

  Result<Edges> EdgesOf(const std::map<std::string, std::string>& tensors) const {
    Edges edges;
    for (const auto& [key, name] : tensors) {
      CKPT_ASSIGN_OR_RETURN(const TensorName parsed, ParseTensorName(name));
      const auto id = graph_.top.Find(parsed.op);
      if (!id || parsed.output >= kMostResults) {
        return Fail(ErrorCode::kCorrupt, "no operation yields \"" + name + '"');
      }
      edges.emplace_back(key, OpEdge{*id, parsed.output, {}});
    }
    return edges;
  }

  // What the outputs need, and how many results of each operation are read.
  void FindNeeded(const Edges& outputs) {
    results_.assign(graph_.top.ops.size(), 0);
    std::vector<OpId> pending;
    const auto need = [&](const OpEdge& edge) {
      if (values_.contains({edge.op, edge.output})) return;  // an input of the network
      if (results_[edge.op] == 0) pending.push_back(edge.op);
      results_[edge.op] = std::max(results_[edge.op], std::min(edge.output, kMostResults) + 1);
    };
    for (const auto& [key, edge] : outputs) need(edge);
    while (!pending.empty()) {
      const OpId id = pending.back();
      pending.pop_back();
      for (const OpEdge& input : graph_.top.ops[id].inputs) need(input);
    }
  }

  void TakeInput(const std::string& key, const OpEdge& edge, const OpSignature& signature) {
    if (values_.contains({edge.op, edge.output})) {
      builder_.AddNote("the input \"" + key + "\" is another name of one before");
      return;
    }
    const auto of_key = signature.input_types.find(key);
    AddInput(key, edge, of_key == signature.input_types.end() ? nullptr : &of_key->second);
  }

  // The shape that the placeholder records, else that of the signature. Old files record an unknown
  // shape as that of a scalar.
  void AddInput(const std::string& name, const OpEdge& edge, const OpTensorType* of_signature) {
    const Op& op = graph_.top.ops[edge.op];
    OpTensorType type = RecordedType(op, edge.output);
    if (type.shape && type.shape->empty()) type.shape.reset();
    if (!type.shape && of_signature != nullptr) type.shape = of_signature->shape;
    if (!type.dtype && of_signature != nullptr) type.dtype = of_signature->dtype;
    const std::int32_t dtype = type.dtype ? type.dtype->number : 0;
    if (const std::string_view what = WhatIsNoNumber(dtype); !what.empty()) {
      builder_.StartLayer(op.name, op.type);
      Set(edge.op, edge.output,
          builder_.AddMany(network::Unknown{op.type, "it takes " + std::string(what)}, {}, 1,
                           name)[0]);
      return;
    }
    PartialShape shape = type.shape;
    if (shape) {
      for (std::int64_t& size : *shape) size = size < 0 ? kUnknownSize : size;
    }
    Set(edge.op, edge.output, builder_.AddInput(name, std::move(shape), KindOfNumber(dtype)));
  }

  static ElementKind KindOfNumber(std::int32_t dtype) {
    if (dtype == kTfBool) return ElementKind::kBoolean;
    const bool real = dtype <= 2 || dtype == 14 || dtype == 19;
    return real ? ElementKind::kReal : ElementKind::kInteger;
  }

  void Set(OpId id, std::uint32_t output, ValueId value) { values_[{id, output}] = value; }

  void TranslateOp(OpId id) {
    const Op& op = graph_.top.ops[id];
    if (values_.contains({id, 0}) && results_[id] == 1) return;
    if (IsPlaceholderType(op.type)) return AddInput(op.name, {id, 0, {}}, nullptr);
    layers_[id] = builder_.StartLayer(op.name, op.type);
    Outcome outcome = op.type == "Const" ? Constant(op) : Compute(op, id);
    if (outcome && outcome->size() < results_[id]) {
      outcome = NotUnderstood("a result of it that only its gradient needs is read");
    }
    if (!outcome) outcome = DoNotUnderstand(op, id, outcome.error());
    for (std::uint32_t i = 0; i < outcome->size(); ++i) {
      if (!values_.contains({id, i})) Set(id, i, (*outcome)[i]);
    }
  }

  Values InputsOf(const Op& op) const {
    Values inputs;
    for (const OpEdge& edge : op.inputs) {
      const auto value = values_.find({edge.op, edge.output});
      inputs.push_back(value == values_.end() ? kNoValue : value->second);
    }
    return inputs;
  }

  Outcome Compute(const Op& op, OpId id) {
    for (std::uint32_t i = 0; i < results_[id]; ++i) {
      const auto dtype = OutputDtype(op, i);
      const std::string_view what = dtype ? WhatIsNoNumber(dtype->number) : std::string_view();
      if (!what.empty()) return NotUnderstood("it yields " + std::string(what));
    }
    const Row* row = FindRow(op.type);
    if (row == nullptr) return NotUnderstood(WhyNot(op));
    Values inputs = InputsOf(op);
    if (std::find(inputs.begin(), inputs.end(), kNoValue) != inputs.end()) {
      return NotUnderstood("a loop leads back to it");
    }
    if (inputs.size() < row->inputs) return NotUnderstood("it has too few inputs");
    Node node(op, graph_.top, tensor_values_, builder_, known_, std::move(inputs), results_[id]);
    return row->translate(node);
  }

  Outcome DoNotUnderstand(const Op& op, OpId id, std::string why) {
    Values inputs = InputsOf(op);
    std::erase(inputs, kNoValue);
    return builder_.AddMany(network::Unknown{op.type, std::move(why)}, std::move(inputs),
                            results_[id], op.name);
  }

  Outcome Constant(const Op& op) {
    if (op.tensor) {
      const TensorInfo& info = tensors_[op.tensor->index];
      if (!IsReal(info.dtype)) return NotUnderstood("it holds no numbers");
      const auto dims = info.shape.dims();
      if (const auto tensor = tensor_of_(*op.tensor)) {
        return Values{builder_.AddStored(op.name, {*tensor, {}, {}}, {dims.begin(), dims.end()},
                                         network::KindOf(info.dtype))};
      }
    }
    if (!op.constant) return NotUnderstood("the file holds no value of it");
    const OpConstant& constant = *op.constant;
    const std::uint64_t count = constant.shape.element_count();
    if (!IsReal(constant.dtype) || constant.bytes.size() > kMaxInlineConstant ||
        constant.bytes.size() * 8 != count * BitSize(constant.dtype)) {
      return NotUnderstood("it holds no numbers");
    }
    const auto dims = constant.shape.dims();
    network::InlineConstant held{{dims.begin(), dims.end()},
                                 std::vector<double>(static_cast<std::size_t>(count)),
                                 network::KindOf(constant.dtype)};
    DecodeToDouble(constant.dtype, constant.bytes, held.elements);
    return Values{builder_.AddInline(std::move(held), op.name)};
  }

  const OpGraph& graph_;
  const std::vector<TensorInfo>& tensors_;
  const TensorOfNetwork& tensor_of_;
  const Checkpoint* tensor_values_;
  NetworkBuilder builder_;
  KnownElements known_;
  std::map<std::pair<OpId, std::uint32_t>, ValueId> values_;
  std::vector<std::uint32_t> results_;  // by operation: how many of its outputs are read
  std::vector<std::optional<std::uint32_t>> layers_;  // by operation: where the network has it
};

}  // namespace
}  // namespace tf_network

Result<network::Network> TranslateServingGraph(const ServingModel& model,
                                               const TensorOfNetwork& tensor_of,
                                               std::size_t signature) {
  const Manifest& manifest = model.manifest();
  return tf_network::Translator(*manifest.ops, manifest.tensors, tensor_of, &model,
                                network::NetworkBuilder::Contradictions::kFail)
      .RunSignature(signature, model.notes());
}

Result<PlacedNetwork> TranslateWholeGraph(const OpGraph& graph,
                                          const std::vector<TensorInfo>& tensors,
                                          const std::vector<OpEdge>& outputs) {
  const TensorOfNetwork as_it_is = [](TensorId id) { return std::optional(id); };
  return tf_network::Translator(graph, tensors, as_it_is, nullptr,
                                network::NetworkBuilder::Contradictions::kUnknown)
      .RunAll(outputs);
}

}  // namespace ckpt
