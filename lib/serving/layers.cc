#include "serving/layers.h"

#include <algorithm>
#include <set>
#include <utility>

#include "ckpt/layer_computation.h"
#include "ckpt/network/channel_rules.h"
#include "layers/operation_kinds.h"
#include "serving/batch_norms.h"
#include "serving/computed_operations.h"
#include "serving/linear_ops.h"
#include "serving/op_facts.h"
#include "serving/wrapped_convolution.h"

namespace ckpt {
namespace {

using EdgeKey = std::pair<OpId, std::uint32_t>;
using Rank = std::optional<std::int64_t>;

constexpr std::uint32_t kMaxOutputsOfOp = 256;  // of one operation

bool IsAddition(const Op& op) {
  return (op.type == "Add" || op.type == "AddV2") && op.inputs.size() == 2;
}

bool IsOfSimpleOperations(OpBatchNormForm form) {
  return form == OpBatchNormForm::kUnfused || form == OpBatchNormForm::kWrittenOut;
}

// "block1/conv/Conv2D" is the layer "block1/conv".
std::string LayerName(const std::string& op_name) {
  const std::size_t slash = op_name.rfind('/');
  return slash == std::string::npos ? op_name : op_name.substr(0, slash);
}

class LayerFinder {
 public:
  LayerFinder(const OpGraph& graph, const std::vector<TensorInfo>& tensors,
              const std::vector<OpEdge>& outputs, const PlacedNetwork& placed)
      : found_(FindBatchNorms(OpBodies(graph))),
        outputs_(outputs),
        body_(graph.top, tensors, outputs, OpsOfBatchNorms(found_)),
        computed_(placed) {
    absorbed_.resize(body_.ops().size(), false);
    result_.graph.source = graph.source;
    for (const Op& op : body_.ops()) result_.graph.taken_names.insert(op.name);
  }

  LayerGraph Run() {
    for (ServingBatchNorm& norm : FindServingBatchNorms(found_, body_)) {
      for (const OpId id : norm.found.path) absorbed_[id] = true;
      const OpId output = norm.found.output;
      absorbed_[output] = false;
      norms_.emplace(output, std::move(norm));
    }
    for (OpId id = 0; id < body_.ops().size(); ++id) {
      if (!body_.IsConstant(id) && !absorbed_[id]) Visit(id);
    }
    for (const OpEdge& output : outputs_) {
      const auto value = values_.find({output.op, output.output});
      if (value != values_.end()) result_.graph.values[value->second].is_model_output = true;
    }
    HoldWhatOthersRead();
    return std::move(result_);
  }

 private:
  ValueId ValueOf(const OpEdge& edge) {
    const EdgeKey key{edge.op, edge.output};
    const auto [known, is_new] =
        values_.emplace(key, static_cast<ValueId>(result_.graph.values.size()));
    if (is_new) {
      Value& value = result_.graph.values.emplace_back();
      value.shape = computed_.ShapeOf(edge);
      value.rank = computed_.RankOf(edge);
    }
    return known->second;
  }

  void AddNode(Layer layer, LayerOps ops, const std::vector<OpEdge>& inputs) {
    ModelGraph& graph = result_.graph;
    const auto node = static_cast<NodeId>(graph.nodes.size());
    Node made;
    made.layer = static_cast<LayerId>(graph.layers.size());
    for (const OpEdge& input : inputs) {
      const ValueId value = ValueOf(input);
      made.inputs.push_back(value);
      graph.values[value].consumers.push_back(node);
    }
    made.output = ValueOf(ops.output);
    graph.values[made.output].producer = node;
    graph.nodes.push_back(std::move(made));
    graph.layers.push_back(std::move(layer));
    for (const auto& [name, place] : ops.places) claimed_.insert(place);
    result_.ops.push_back(std::move(ops));
  }

  void Visit(OpId id) {
    const auto norm = norms_.find(id);
    if (norm != norms_.end()) {
      VisitBatchNorm(norm->second);
    } else if (auto linear = ReadLinear(id)) {
      VisitLinear(id, *std::move(linear));
    } else {
      VisitOther(id);
    }
  }

  void VisitBatchNorm(const ServingBatchNorm& norm) {
    const OpBatchNorm& found = norm.found;
    const Op& op = body_.op(found.output);
    const bool unfused = IsOfSimpleOperations(found.form);
    Layer layer;
    layer.name = LayerName(op.name);
    layer.op_type = unfused ? "batch normalization (" + Types(found.path) + ")" : op.type;
    layer.epsilon = found.epsilon;
    for (const auto& [name, weight] : norm.weights) layer.tensors[name] = weight.tensor;
    layer.has_scale = layer.tensors.contains("gamma");
    layer.has_center = layer.tensors.contains("beta");
    layer.can_rebind = norm.own_operations;
    SetAxis(norm, computed_.RankOf(found.input), layer);
    layer.computation =
        network::BatchNormalization{layer.axis.value_or(-1), layer.epsilon.value_or(0)};
    LayerOps ops{found.input, {found.output, 0, {}}};
    ops.channels_first = layer.axis != -1;
    ops.places = norm.places;
    if (const auto* vectors = FindAttr<OpDtype>(op, "U"); vectors != nullptr && !unfused)
      ops.vector_dtype = *vectors;
    claimed_.insert(norm.operands.begin(), norm.operands.end());
    AddNode(std::move(layer), std::move(ops), {found.input});
  }

  std::string Types(const std::vector<OpId>& path) const {
    std::string types;
    for (const OpId id : path) types += (types.empty() ? "" : ", ") + body_.op(id).type;
    return types;
  }

  // The axis of the channels: of the data format, or that in which the vectors are wide.
  static void SetAxis(const ServingBatchNorm& norm, Rank rank, Layer& layer) {
    if (!IsOfSimpleOperations(norm.found.form)) {
      layer.axis = norm.found.channel_axis;
      layer.axes_behind_channels = 0;
      if (layer.axis == -1) return;
      layer.axes_behind_channels = norm.found.data_format == "NCDHW" ? 3 : 2;
      return;
    }
    layer.axis = -1;
    layer.axes_behind_channels = norm.axes_behind_channels;
    const auto least = static_cast<std::int64_t>(norm.rank);
    if (rank && *rank < least) {
      layer.not_affine = "its vectors have more axes than what it normalises";
    } else if (norm.axes_behind_channels != 0) {
      // Vectors of rank 3 and more are [1, C, 1...] where the rank of the input is not known.
      if (!rank) rank = least;
      layer.axis = *rank - 1 - static_cast<std::int64_t>(norm.axes_behind_channels);
    }
  }

  // One whose computation is not understood is none.
  std::optional<LinearOp> ReadLinear(OpId id) const {
    auto linear = ReadLinearOp(body_, id);
    if (!linear) return std::nullopt;
    Layer& layer = linear->layer;
    layer.computation = computed_.ComputationOf(id);
    return network::ParameterAxis(layer.computation) ? std::move(linear) : std::nullopt;
  }

  void VisitLinear(OpId id, LinearOp linear) {
    Layer& layer = linear.layer;
    layer.name = LayerName(body_.op(id).name);
    LayerOps ops;
    ops.kernel = linear.kernel.constant;
    ops.channels_first = linear.channels_first;
    ops.places["kernel"] = {id, 1};
    OpEdge input = body_.op(id).inputs[linear.data_input];
    OpId last = id;
    TakeSandwich(id, layer, input, last);
    ops.input = input;
    if (IsDense(layer)) TakeReshape(linear, last);
    if (!TakeBias(layer, ops, last)) ops.bias_after = last;
    ops.output = {last, 0, {}};
    AddNode(std::move(layer), std::move(ops), {input});
  }

  // ExpandDims, convolution, Squeeze: one convolution of lower rank. SpaceToBatchND, convolution,
  // BatchToSpaceND: one with dilation.
  void TakeSandwich(OpId id, Layer& layer, OpEdge& input, OpId& last) {
    OpId inner = id;
    for (const auto& [before, after] :
         {std::pair{"ExpandDims", "Squeeze"}, std::pair{"SpaceToBatchND", "BatchToSpaceND"},
          std::pair{"ExpandDims", "Squeeze"}}) {
      const Op& first = body_.op(input.op);
      const auto reader = body_.OnlyReader(last);
      if (first.type != before || !reader || body_.op(*reader).type != after ||
          first.inputs.empty() || body_.OnlyReader(input.op) != std::optional(inner) ||
          body_.op(*reader).inputs.empty() || body_.op(*reader).inputs[0].op != last) {
        continue;
      }
      Unwrap(input.op, *reader, layer.computation);
      DropNodeOf(input.op);
      inner = input.op;
      input = first.inputs[0];
      absorbed_[*reader] = true;
      last = *reader;
    }
  }

  void Unwrap(OpId before, OpId after, network::Computation& computation) const {
    const network::Computation first = computed_.ComputationOf(before);
    if (body_.op(before).type == "SpaceToBatchND") {
      return Dilate(first, computed_.ComputationOf(after), computation);
    }
    const auto* inserted = std::get_if<network::InsertAxes>(&first);
    const Rank rank = computed_.RankOf({before, 0, {}});
    if (inserted == nullptr || inserted->axes.size() != 1) return;
    std::int64_t axis = inserted->axes[0];
    if (axis < 0 && !rank) return;
    if (axis < 0) axis += *rank;
    axis -= network::ParameterAxis(computation) == 1 ? 2 : 1;
    if (axis >= 0) DropSpatialAxis(static_cast<std::size_t>(axis), computation);
  }

  // Others may ask for its shape, as slim's fused batch norm behind a product does.
  std::optional<OpId> OnlyReaderOfElements(OpId id) const {
    if (body_.IsOutput(id)) return std::nullopt;
    std::optional<OpId> found;
    for (const OpId reader : body_.ReadersOf(id)) {
      if (body_.op(reader).type == "Shape") continue;
      if (found) return std::nullopt;
      found = reader;
    }
    return found;
  }

  // A product whose rows are given their axes again (Tensordot), or others (slim's fused batch
  // norm): the units stay the last axis.
  void TakeReshape(const LinearOp& linear, OpId& last) {
    const auto reader = OnlyReaderOfElements(last);
    if (!reader || body_.op(*reader).type != "Reshape" || body_.op(*reader).inputs.size() != 2 ||
        body_.op(*reader).inputs[0].op != last) {
      return;
    }
    const bool transposed = linear.layer.layout == KernelLayout::kOutInSpatial;
    const std::int64_t units =
        transposed ? linear.kernel.shape.front() : linear.kernel.shape.back();
    const network::PartialShape& shape = computed_.ShapeOf({*reader, 0, {}});
    if (!shape || shape->empty() || shape->back() != units) return;
    absorbed_[*reader] = true;
    last = *reader;
  }

  // The operation before the convolution was already visited as a layer of its own.
  void DropNodeOf(OpId id) {
    ModelGraph& graph = result_.graph;
    for (NodeId node = static_cast<NodeId>(graph.nodes.size()); node-- > 0;) {
      if (result_.ops[graph.nodes[node].layer].output.op != id) continue;
      for (const ValueId value : graph.nodes[node].inputs)
        std::erase(graph.values[value].consumers, node);
      graph.nodes[node].inputs.clear();
      return;
    }
  }

  bool TakeBias(Layer& layer, LayerOps& ops, OpId& last) {
    const auto reader = body_.OnlyReader(last);
    if (!reader || norms_.contains(*reader) || absorbed_[*reader]) return false;
    const Op& op = body_.op(*reader);
    if (op.inputs.size() != 2) return false;
    const std::size_t other = op.inputs[0].op == last ? 1 : 0;
    const bool bias_add = op.type == "BiasAdd" && other == 1;
    if (!bias_add && (!IsAddition(op) || ops.channels_first)) return false;
    const auto weight = body_.WeightOf(op.inputs[other]);
    if (!weight) return false;
    // Along the last axis, or along that of the channels for BiasAdd.
    const std::vector<std::int64_t>& dims = weight->shape;
    if (dims.empty() || std::any_of(dims.begin(), dims.end() - 1, [](auto d) { return d != 1; }))
      return false;
    const Rank rank = computed_.RankOf({last, 0, {}});
    if (dims.size() > 1 && (!rank || static_cast<std::int64_t>(dims.size()) > *rank)) return false;
    if (bias_add && ChannelsFirst(op) != ops.channels_first) return false;
    layer.tensors["bias"] = weight->tensor;
    ops.places["bias"] = {*reader, other};
    absorbed_[*reader] = true;
    last = *reader;
    return true;
  }

  void VisitOther(OpId id) {
    Layer layer = OtherLayer(id);
    const std::vector<OpEdge> inputs = DataOf(id, layer);
    const std::uint32_t outputs = std::max<std::uint32_t>(1, OutputsRead(id));
    for (std::uint32_t i = 0; i < outputs; ++i) {
      LayerOps ops;
      if (!inputs.empty()) ops.input = inputs[0];
      ops.output = {id, i, {}};
      // The parts of a split are alike; else the rules are those of the first result.
      const bool alike = std::holds_alternative<network::Split>(layer.computation);
      if (i > 0 && !alike) layer.computation = network::Unknown{};
      AddNode(layer, std::move(ops), inputs);
    }
  }

  Layer OtherLayer(OpId id) const {
    const Op& op = body_.op(id);
    Layer layer;
    layer.name = op.name;
    layer.op_type = op.type;
    if (op.type == "PlaceholderWithDefault" || IsPlaceholderType(op.type)) {
      layer.is_input = true;
      return layer;
    }
    if (std::string source = SourceOfComputedKernel(body_, id); !source.empty()) {
      layer.fed_tensors.emplace("kernel", std::move(source));
    } else {
      computed_.Describe(id, layer);
    }
    return layer;
  }

  // What it reads elements of.
  std::vector<OpEdge> DataOf(OpId id, const Layer& layer) const {
    std::vector<OpEdge> data;
    if (computed_.ReadsSizesAlone(id)) return data;
    for (const OpEdge& input : body_.op(id).inputs) {
      if (!body_.IsConstant(input)) data.push_back(input);
    }
    // What is computed beside is a shape, and the computation knows it.
    const bool of_one = Computes<network::Reshape>(layer) || IsFlatten(layer);
    if (of_one && !data.empty()) data.resize(1);
    return data;
  }

  std::uint32_t OutputsRead(OpId id) const {
    std::uint32_t count = 0;
    for (const OpId reader : body_.ReadersOf(id)) {
      for (const OpEdge& input : body_.op(reader).inputs) {
        if (input.op == id && input.output < kMaxOutputsOfOp)
          count = std::max(count, input.output + 1);
      }
    }
    for (const OpEdge& output : outputs_) {
      if (output.op == id) count = std::max(count, output.output + 1);
    }
    return count;
  }

  // Walks from the outputs and leaves out what layers claim: whatever tensor is reached still is
  // read by something that expects its value as it is.
  void HoldWhatOthersRead() {
    std::vector<bool> seen(body_.ops().size(), false);
    std::vector<OpId> pending;
    for (const OpEdge& output : outputs_) pending.push_back(output.op);
    Layer others;
    others.name = "operations of no layer";
    while (!pending.empty()) {
      const OpId id = pending.back();
      pending.pop_back();
      if (seen[id]) continue;
      seen[id] = true;
      const Op& op = body_.op(id);
      if (op.tensor) others.tensors.emplace(op.name, *op.tensor);
      for (std::size_t i = 0; i < op.inputs.size(); ++i) {
        if (!claimed_.contains({id, i})) pending.push_back(op.inputs[i].op);
      }
    }
    if (others.tensors.empty()) return;
    result_.graph.layers.push_back(std::move(others));
    result_.ops.emplace_back();
  }

  const OpBatchNorms found_;
  const std::vector<OpEdge>& outputs_;
  const BodyView body_;
  const ComputedOperations computed_;
  std::vector<bool> absorbed_;
  std::map<OpId, ServingBatchNorm> norms_;
  std::map<EdgeKey, ValueId> values_;
  std::set<OpInput> claimed_;
  LayerGraph result_;
};

}  // namespace

LayerGraph FindLayers(const OpGraph& graph, const std::vector<TensorInfo>& tensors,
                      const std::vector<OpEdge>& outputs, const PlacedNetwork& placed) {
  return LayerFinder(graph, tensors, outputs, placed).Run();
}

}  // namespace ckpt
