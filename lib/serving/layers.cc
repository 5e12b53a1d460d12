#include "serving/layers.h"

#include <algorithm>
#include <set>
#include <utility>

#include "serving/batch_norms.h"
#include "serving/linear_ops.h"
#include "serving/op_facts.h"
#include "serving/other_ops.h"

namespace ckpt {
namespace {

using EdgeKey = std::pair<OpId, std::uint32_t>;

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
              const std::vector<OpEdge>& outputs)
      : found_(FindBatchNorms(OpBodies(graph))),
        outputs_(outputs),
        body_(graph.top, tensors, outputs, OpsOfBatchNorms(found_)) {
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
    if (is_new) result_.graph.values.emplace_back();
    return known->second;
  }
  Rank RankOf(const OpEdge& edge) { return result_.graph.values[ValueOf(edge)].rank; }

  void AddNode(Layer layer, LayerOps ops, const std::vector<OpEdge>& inputs, Rank rank) {
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
    graph.values[made.output].rank = rank;
    graph.nodes.push_back(std::move(made));
    graph.layers.push_back(std::move(layer));
    for (const auto& [name, place] : ops.places) claimed_.insert(place);
    result_.ops.push_back(std::move(ops));
  }

  void Visit(OpId id) {
    const auto norm = norms_.find(id);
    if (norm != norms_.end()) {
      VisitBatchNorm(norm->second);
    } else if (auto linear = ReadLinearOp(body_, id)) {
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
    layer.kind = OpKind::kBatchNorm;
    layer.epsilon = found.epsilon;
    for (const auto& [name, weight] : norm.weights) layer.tensors[name] = weight.tensor;
    layer.has_scale = layer.tensors.contains("gamma");
    layer.has_center = layer.tensors.contains("beta");
    layer.can_rebind = norm.own_operations;
    Rank rank = RankOf(found.input);
    if (!rank && !unfused && op.type != "FusedBatchNormV3") rank = 4;
    SetAxis(norm, rank, layer);
    LayerOps ops{found.input, {found.output, 0, {}}};
    ops.channels_first = layer.axis != -1;
    ops.places = norm.places;
    if (const auto* vectors = FindAttr<OpDtype>(op, "U"); vectors != nullptr && !unfused)
      ops.vector_dtype = *vectors;
    claimed_.insert(norm.operands.begin(), norm.operands.end());
    AddNode(std::move(layer), std::move(ops), {found.input}, rank);
  }

  std::string Types(const std::vector<OpId>& path) const {
    std::string types;
    for (const OpId id : path) types += (types.empty() ? "" : ", ") + body_.op(id).type;
    return types;
  }

  // The axis of the channels: of the data format, or that in which the vectors are wide.
  void SetAxis(const ServingBatchNorm& norm, Rank& rank, Layer& layer) const {
    if (!IsOfSimpleOperations(norm.found.form)) {
      layer.axis = norm.found.channel_axis;
      layer.axes_behind_channels = 0;
      if (layer.axis == -1) return;
      layer.axes_behind_channels = norm.found.data_format == "NCDHW" ? 3 : 2;
      if (!rank) rank = static_cast<std::int64_t>(*layer.axes_behind_channels) + 2;
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
    Rank rank = linear.rank;
    if (body_.op(last).type == "Squeeze") rank = linear.rank - 1;
    if (layer.kind == OpKind::kDense) TakeReshape(linear, last, rank);
    if (!TakeBias(layer, ops, last, rank)) ops.bias_after = last;
    ops.output = {last, 0, {}};
    AddNode(std::move(layer), std::move(ops), {input}, rank);
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
      if (std::string_view(before) == "SpaceToBatchND") layer.padding = Padding::kZeros;
      DropNodeOf(input.op);
      inner = input.op;
      input = first.inputs[0];
      absorbed_[*reader] = true;
      last = *reader;
    }
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
  void TakeReshape(const LinearOp& linear, OpId& last, Rank& rank) {
    const auto reader = OnlyReaderOfElements(last);
    if (!reader || body_.op(*reader).type != "Reshape" || body_.op(*reader).inputs.size() != 2 ||
        body_.op(*reader).inputs[0].op != last) {
      return;
    }
    const bool transposed = linear.layer.layout == KernelLayout::kOutInSpatial;
    const std::int64_t units =
        transposed ? linear.kernel.shape.front() : linear.kernel.shape.back();
    const OpEdge& shape = body_.op(*reader).inputs[1];
    if (LastOfShape(shape) != units) return;
    absorbed_[*reader] = true;
    last = *reader;
    const auto dims = body_.Integers(shape);
    rank = dims.empty() ? std::nullopt : Rank(static_cast<std::int64_t>(dims.size()));
  }

  // The last element of a shape, which may be put together from known and unknown ones.
  Rank LastOfShape(OpEdge shape) const {
    const Op& op = body_.op(shape.op);
    if (op.type == "ConcatV2" && op.inputs.size() >= 2) {
      shape = op.inputs[op.inputs.size() - 2];
    } else if (op.type == "Pack" && !op.inputs.empty()) {
      shape = op.inputs.back();
    }
    const auto values = body_.Integers(shape);
    return values.empty() ? std::nullopt : Rank(values.back());
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

  bool TakeBias(Layer& layer, LayerOps& ops, OpId& last, const Rank& rank) {
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
    if (dims.size() > 1 && (!rank || static_cast<std::int64_t>(dims.size()) > *rank)) return false;
    if (bias_add && ChannelsFirst(op) != ops.channels_first) return false;
    layer.tensors["bias"] = weight->tensor;
    ops.places["bias"] = {*reader, other};
    absorbed_[*reader] = true;
    last = *reader;
    return true;
  }

  void VisitOther(OpId id) {
    const Op& op = body_.op(id);
    std::vector<OpEdge> inputs;
    std::vector<Rank> ranks;
    for (const OpEdge& input : op.inputs) {
      if (body_.IsConstant(input)) continue;
      inputs.push_back(input);
      ranks.push_back(RankOf(input));
    }
    OtherOp other = ReadOtherOp(body_, id, ranks);
    if (std::string source = SourceOfComputedKernel(body_, id); !source.empty())
      other.layer.fed_tensors.emplace("kernel", std::move(source));
    const std::uint32_t outputs = std::max<std::uint32_t>(1, OutputsRead(id));
    for (std::uint32_t i = 0; i < outputs; ++i) {
      LayerOps ops;
      if (!inputs.empty()) ops.input = inputs[0];
      ops.output = {id, i, {}};
      AddNode(other.layer, std::move(ops), inputs, other.rank);
    }
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
  std::vector<bool> absorbed_;
  std::map<OpId, ServingBatchNorm> norms_;
  std::map<EdgeKey, ValueId> values_;
  std::set<OpInput> claimed_;
  LayerGraph result_;
};

}  // namespace

LayerGraph FindLayers(const OpGraph& graph, const std::vector<TensorInfo>& tensors,
                      const std::vector<OpEdge>& outputs) {
  return LayerFinder(graph, tensors, outputs).Run();
}

}  // namespace ckpt
