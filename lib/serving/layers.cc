#include "serving/layers.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "ckpt/elements.h"
#include "serving/op_facts.h"

namespace ckpt {
namespace {

using Key = std::pair<OpId, std::uint32_t>;

// An unfused batch norm: x * m + s with m = rsqrt(variance + epsilon) * gamma, s = beta - mean * m.
struct UnfusedBatchNorm {
  OpEdge input;
  OpId scale = 0;  // the multiplication of x
  std::optional<OpId> gamma = {}, beta = {};
  OpId mean = 0, variance = 0;
  double epsilon = 0;
  bool channels_first = false;
};

class Finder {
 public:
  Finder(const OpBody& body, const std::vector<OpEdge>& outputs) : ops_(body.ops) {
    constant_.resize(ops_.size(), false);
    absorbed_.resize(ops_.size(), false);
    readers_.resize(ops_.size());
    for (OpId id = 0; id < ops_.size(); ++id) {
      const Op& op = ops_[id];
      bool all = !op.inputs.empty() && !IsRandomType(op.type);
      for (const OpEdge& input : op.inputs) {
        readers_[input.op].push_back(id);
        all = all && input.op < id && constant_[input.op];
      }
      constant_[id] = op.type == "Const" || all;
    }
    for (const OpEdge& output : outputs) outputs_.push_back({output.op, output.output});
  }

  LayerGraph Run(std::string source) {
    result_.graph.source = std::move(source);
    for (OpId id = 0; id < ops_.size(); ++id) {
      if (constant_[id]) continue;
      if (auto found = MatchUnfused(id)) {
        absorbed_[found->scale] = true;
        unfused_.emplace(id, *found);
      }
    }
    for (OpId id = 0; id < ops_.size(); ++id) {
      if (!constant_[id] && !absorbed_[id]) Visit(id);
    }
    MarkOutputs();
    return std::move(result_);
  }

 private:
  bool IsConstant(const OpEdge& edge) const { return constant_[edge.op]; }
  bool IsOutput(OpId id) const {
    return std::any_of(outputs_.begin(), outputs_.end(),
                       [&](const Key& key) { return key.first == id; });
  }
  // The only operation that reads it, and only once.
  std::optional<OpId> OnlyReader(OpId id) const {
    if (readers_[id].size() != 1 || IsOutput(id)) return std::nullopt;
    return readers_[id][0];
  }

  // The constant that holds a vector or kernel, behind changes of shape that add or drop ones.
  std::optional<OpId> WeightOf(OpEdge edge) const {
    for (int i = 0; i < 8; ++i) {
      const Op& op = ops_[edge.op];
      if (op.type == "Const") return op.tensor ? std::optional(edge.op) : std::nullopt;
      const bool reshapes = op.type == "ExpandDims" || op.type == "Squeeze" ||
                            op.type == "Reshape" || IsIdentityType(op.type);
      if (!reshapes || op.inputs.empty()) return std::nullopt;
      edge = op.inputs[0];
    }
    return std::nullopt;
  }

  // A constant that stands in the graph with a shape of its own.
  std::optional<std::size_t> RankOfReshaped(const OpEdge& edge) const {
    const Op& op = ops_[edge.op];
    if (op.type != "Reshape" || op.inputs.size() != 2) return std::nullopt;
    const OpConstant* shape = ConstantAt(op.inputs[1]);
    if (shape == nullptr || shape->shape.rank() != 1) return std::nullopt;
    return static_cast<std::size_t>(shape->shape[0]);
  }

  const OpConstant* ConstantAt(const OpEdge& edge) const {
    const Op& op = ops_[edge.op];
    return op.constant ? &*op.constant : nullptr;
  }

  std::vector<std::int64_t> Integers(const OpEdge& edge) const {
    const OpConstant* constant = ConstantAt(edge);
    std::vector<std::int64_t> integers;
    if (constant == nullptr || constant->shape.element_count() > 64 || constant->bytes.empty() ||
        (constant->dtype != Dtype::kI32 && constant->dtype != Dtype::kI64)) {
      return integers;
    }
    std::vector<double> values(static_cast<std::size_t>(constant->shape.element_count()));
    if (constant->bytes.size() * 8 != values.size() * BitSize(constant->dtype)) return integers;
    DecodeToDouble(constant->dtype, constant->bytes, values);
    for (const double value : values) integers.push_back(static_cast<std::int64_t>(value));
    return integers;
  }

  std::optional<double> Scalar(const OpEdge& edge) const {
    const OpConstant* constant = ConstantAt(edge);
    if (constant == nullptr || constant->shape.element_count() != 1 || !IsReal(constant->dtype) ||
        constant->bytes.size() * 8 != BitSize(constant->dtype)) {
      return std::nullopt;
    }
    double value = 0;
    DecodeToDouble(constant->dtype, constant->bytes, std::span(&value, 1));
    return value;
  }

  static bool IsAddition(const Op& op) {
    return (op.type == "Add" || op.type == "AddV2") && op.inputs.size() == 2;
  }
  static bool IsProduct(const Op& op) { return op.type == "Mul" && op.inputs.size() == 2; }

  // m = Rsqrt(variance + epsilon) [* gamma]
  bool MatchScale(OpEdge edge, UnfusedBatchNorm& found) const {
    const Op* op = &ops_[edge.op];
    if (op->type == "Reshape" && !op->inputs.empty()) op = &ops_[op->inputs[0].op];
    const Op* root = op;
    if (IsProduct(*op)) {
      root = nullptr;
      for (std::size_t i = 0; i < 2; ++i) {
        if (ops_[op->inputs[i].op].type != "Rsqrt") continue;
        root = &ops_[op->inputs[i].op];
        found.gamma = WeightOf(op->inputs[1 - i]);
        if (!found.gamma) return false;
      }
    }
    if (root == nullptr || root->type != "Rsqrt" || root->inputs.size() != 1) return false;
    const Op& sum = ops_[root->inputs[0].op];
    if (!IsAddition(sum)) return false;
    for (std::size_t i = 0; i < 2; ++i) {
      const auto epsilon = Scalar(sum.inputs[1 - i]);
      const auto variance = WeightOf(sum.inputs[i]);
      if (!epsilon || !variance) continue;
      found.epsilon = *epsilon;
      found.variance = *variance;
      // [1, C, 1, 1]: the channels are axis 1.
      found.channels_first = RankOfReshaped(sum.inputs[i]).value_or(1) > 1;
      return true;
    }
    return false;
  }

  // s = beta - mean * m, or -(mean * m)
  bool MatchShift(OpEdge edge, const OpEdge& scale, UnfusedBatchNorm& found) const {
    const Op& op = ops_[edge.op];
    const Op* product = nullptr;
    if (op.type == "Sub" && op.inputs.size() == 2) {
      found.beta = WeightOf(op.inputs[0]);
      if (!found.beta) return false;
      product = &ops_[op.inputs[1].op];
    } else if (op.type == "Neg" && op.inputs.size() == 1) {
      product = &ops_[op.inputs[0].op];
    }
    if (product == nullptr || !IsProduct(*product)) return false;
    for (std::size_t i = 0; i < 2; ++i) {
      if (product->inputs[i].op != scale.op) continue;
      const auto mean = WeightOf(product->inputs[1 - i]);
      if (!mean) return false;
      found.mean = *mean;
      return true;
    }
    return false;
  }

  std::optional<UnfusedBatchNorm> MatchUnfused(OpId id) const {
    const Op& sum = ops_[id];
    if (!IsAddition(sum)) return std::nullopt;
    for (std::size_t i = 0; i < 2; ++i) {
      if (!IsConstant(sum.inputs[1 - i])) continue;
      const OpId scaling = sum.inputs[i].op;
      if (constant_[scaling] || !IsProduct(ops_[scaling]) || !OnlyReader(scaling)) continue;
      for (std::size_t k = 0; k < 2; ++k) {
        const OpEdge factor = ops_[scaling].inputs[1 - k];
        if (!IsConstant(factor)) continue;
        UnfusedBatchNorm found;
        found.input = ops_[scaling].inputs[k];
        found.scale = scaling;
        if (!IsConstant(found.input) && MatchScale(factor, found) &&
            MatchShift(sum.inputs[1 - i], factor, found)) {
          return found;
        }
      }
    }
    return std::nullopt;
  }

  static bool ChannelsFirst(const Op& op) {
    const auto* format = FindAttr<std::string>(op, "data_format");
    return format != nullptr && format->starts_with("NC");
  }

  static std::string LayerName(const std::string& op_name) {
    // "block1/conv/Conv2D" is the layer "block1/conv".
    const std::size_t slash = op_name.rfind('/');
    return slash == std::string::npos ? op_name : op_name.substr(0, slash);
  }

  ValueId ValueOf(const OpEdge& edge) {
    const Key key{edge.op, edge.output};
    const auto [known, is_new] =
        values_.emplace(key, static_cast<ValueId>(result_.graph.values.size()));
    if (is_new) result_.graph.values.emplace_back();
    return known->second;
  }
  std::optional<std::int64_t> RankOf(const OpEdge& edge) {
    return result_.graph.values[ValueOf(edge)].rank;
  }

  void AddNode(Layer layer, LayerOps ops, const std::vector<OpEdge>& inputs,
               std::optional<std::int64_t> rank) {
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
    result_.ops.push_back(std::move(ops));
  }

  void Visit(OpId id) {
    const Op& op = ops_[id];
    if (const auto unfused = unfused_.find(id); unfused != unfused_.end())
      return VisitUnfused(id, unfused->second);
    if (IsFusedBatchNormType(op.type) && VisitFused(id)) return;
    if (VisitLinear(id)) return;
    VisitOther(id);
  }

  void VisitUnfused(OpId id, const UnfusedBatchNorm& found) {
    Layer layer;
    layer.name = LayerName(ops_[id].name);
    layer.op_type = "batch normalization (Rsqrt, Mul, " + ops_[id].type + ")";
    layer.kind = OpKind::kBatchNorm;
    layer.axis = found.channels_first ? 1 : -1;
    layer.epsilon = found.epsilon;
    layer.has_scale = found.gamma.has_value();
    layer.has_center = found.beta.has_value();
    if (found.gamma) layer.tensors["gamma"] = *ops_[*found.gamma].tensor;
    if (found.beta) layer.tensors["beta"] = *ops_[*found.beta].tensor;
    layer.tensors["moving_mean"] = *ops_[found.mean].tensor;
    layer.tensors["moving_variance"] = *ops_[found.variance].tensor;
    LayerOps ops{found.input, {id, 0, {}}};
    ops.channels_first = found.channels_first;
    ops.batch_norm = {found.scale, id};
    const auto rank = RankOf(found.input);
    AddNode(std::move(layer), std::move(ops), {found.input}, rank);
  }

  bool VisitFused(OpId id) {
    const Op& op = ops_[id];
    if (IsTraining(op) || op.inputs.size() != 5) return false;
    static constexpr const char* kNames[] = {"gamma", "beta", "moving_mean", "moving_variance"};
    Layer layer;
    for (std::size_t i = 0; i < 4; ++i) {
      const auto weight = WeightOf(op.inputs[i + 1]);
      if (!weight) return false;
      layer.tensors[kNames[i]] = *ops_[*weight].tensor;
    }
    for (const OpId reader : readers_[id]) {
      for (const OpEdge& input : ops_[reader].inputs) {
        if (input.op == id && input.output != 0) return false;
      }
    }
    layer.name = LayerName(op.name);
    layer.op_type = op.type;
    layer.kind = OpKind::kBatchNorm;
    const double* epsilon = FindAttr<double>(op, "epsilon");
    layer.epsilon = epsilon == nullptr ? 1e-4 : *epsilon;  // the default of the operation
    LayerOps ops{op.inputs[0], {id, 0, {}}};
    ops.channels_first = ChannelsFirst(op);
    ops.fused = true;
    ops.batch_norm = {id};
    layer.axis = ops.channels_first ? 1 : -1;
    const auto rank = RankOf(op.inputs[0]);
    AddNode(std::move(layer), std::move(ops), {op.inputs[0]},
            rank ? rank : (op.type != "FusedBatchNormV3" ? std::optional<std::int64_t>(4) : rank));
    return true;
  }

  struct LinearType {
    std::string_view type;
    OpKind kind;
    KernelLayout layout;
    std::size_t data_input;
    std::int64_t rank;
  };
  static const LinearType* FindLinear(std::string_view type) {
    static constexpr LinearType kTypes[] = {
        {"Conv2D", OpKind::kConv, KernelLayout::kSpatialInOut, 0, 4},
        {"DepthwiseConv2dNative", OpKind::kDepthwiseConv, KernelLayout::kSpatialInMultiplier, 0, 4},
        {"Conv2DBackpropInput", OpKind::kConvTranspose, KernelLayout::kSpatialOutIn, 2, 4},
        {"Conv3D", OpKind::kConv, KernelLayout::kSpatialInOut, 0, 5},
        {"Conv3DBackpropInputV2", OpKind::kConvTranspose, KernelLayout::kSpatialOutIn, 2, 5},
        {"MatMul", OpKind::kDense, KernelLayout::kSpatialInOut, 0, 2},
    };
    for (const LinearType& one : kTypes) {
      if (one.type == type) return &one;
    }
    return nullptr;
  }

  bool VisitLinear(OpId id) {
    const Op& op = ops_[id];
    const LinearType* linear = FindLinear(op.type);
    if (linear == nullptr || op.inputs.size() <= std::max<std::size_t>(linear->data_input, 1))
      return false;
    const auto kernel = WeightOf(op.inputs[1]);
    if (!kernel || IsConstant(op.inputs[linear->data_input])) return false;
    Layer layer;
    layer.name = LayerName(op.name);
    layer.op_type = op.type;
    layer.kind = linear->kind;
    layer.layout = linear->layout;
    layer.tensors["kernel"] = *ops_[*kernel].tensor;
    layer.can_gain_bias = true;
    LayerOps ops;
    ops.kernel = *kernel;
    ops.channels_first = linear->kind != OpKind::kDense && ChannelsFirst(op);
    layer.axis = ops.channels_first ? 1 : -1;
    const bool* transposed = FindAttr<bool>(op, "transpose_b");
    if (linear->kind == OpKind::kDense && transposed != nullptr && *transposed)
      layer.layout = KernelLayout::kOutInSpatial;
    const bool* left = FindAttr<bool>(op, "transpose_a");
    if (linear->kind == OpKind::kDense && left != nullptr && *left) return false;
    ReadGeometry(op, layer);
    OpEdge input = op.inputs[linear->data_input];
    OpId last = id;
    TakeSandwich(id, layer, input, last);
    ops.input = input;
    ops.bias_after = last;
    const OpId before_bias = last;
    TakeBias(layer, ops.channels_first, last);
    if (last != before_bias) ops.bias_after.reset();
    ops.output = {last, 0, {}};
    std::optional<std::int64_t> rank = linear->rank;
    if (ops_[before_bias].type == "Squeeze") rank = linear->rank - 1;
    AddNode(std::move(layer), std::move(ops), {input}, rank);
    return true;
  }

  void ReadGeometry(const Op& op, Layer& layer) const {
    const auto* padding = FindAttr<std::string>(op, "padding");
    if (layer.kind == OpKind::kDense) {
      layer.padding = Padding::kNone;
    } else if (padding != nullptr) {
      layer.padding = *padding == "VALID"  ? Padding::kNone
                      : *padding == "SAME" ? Padding::kSame
                                           : Padding::kZeros;
    }
    if (const auto* strides = FindAttr<std::vector<std::int64_t>>(op, "strides")) {
      layer.unit_stride =
          std::all_of(strides->begin(), strides->end(), [](std::int64_t s) { return s == 1; });
    }
  }

  // ExpandDims, convolution, Squeeze: one convolution of lower rank. SpaceToBatchND, convolution,
  // BatchToSpaceND: one with dilation.
  void TakeSandwich(OpId id, Layer& layer, OpEdge& input, OpId& last) {
    OpId inner = id;
    for (const auto& [before, after] :
         {std::pair{"ExpandDims", "Squeeze"}, std::pair{"SpaceToBatchND", "BatchToSpaceND"},
          std::pair{"ExpandDims", "Squeeze"}}) {
      const Op& first = ops_[input.op];
      const auto reader = OnlyReader(last);
      if (first.type != before || !reader || ops_[*reader].type != after || first.inputs.empty() ||
          OnlyReader(input.op) != std::optional(inner) || ops_[*reader].inputs.empty() ||
          ops_[*reader].inputs[0].op != last) {
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

  void TakeBias(Layer& layer, bool channels_first, OpId& last) {
    const auto reader = OnlyReader(last);
    if (!reader) return;
    const Op& op = ops_[*reader];
    if (op.inputs.size() != 2) return;
    const bool bias_add = op.type == "BiasAdd" && op.inputs[0].op == last;
    if (!bias_add && (!IsAddition(op) || channels_first)) return;
    const OpEdge& other = op.inputs[0].op == last ? op.inputs[1] : op.inputs[0];
    const Op& constant = ops_[other.op];
    if (constant.type != "Const" || !constant.tensor || other.op == last) return;
    if (unfused_.contains(*reader)) return;
    layer.tensors["bias"] = *constant.tensor;
    absorbed_[*reader] = true;
    last = *reader;
  }

  void VisitOther(OpId id) {
    const Op& op = ops_[id];
    std::vector<OpEdge> inputs;
    for (const OpEdge& input : op.inputs) {
      if (!IsConstant(input)) inputs.push_back(input);
    }
    Layer layer;
    layer.name = op.name;
    layer.op_type = op.type;
    std::optional<std::int64_t> rank;
    if (!inputs.empty()) rank = RankOf(inputs[0]);
    Classify(op, inputs, layer, rank);
    const std::uint32_t outputs = std::max<std::uint32_t>(1, OutputsRead(id));
    for (std::uint32_t i = 0; i < outputs; ++i) {
      LayerOps ops;
      if (!inputs.empty()) ops.input = inputs[0];
      ops.output = {id, i, {}};
      AddNode(layer, std::move(ops), inputs, rank);
    }
  }

  std::uint32_t OutputsRead(OpId id) const {
    std::uint32_t count = 0;
    for (const OpId reader : readers_[id]) {
      for (const OpEdge& input : ops_[reader].inputs) {
        if (input.op == id && input.output < 256) count = std::max(count, input.output + 1);
      }
    }
    for (const Key& key : outputs_) {
      if (key.first == id) count = std::max(count, key.second + 1);
    }
    return count;
  }

  void Classify(const Op& op, const std::vector<OpEdge>& inputs, Layer& layer,
                std::optional<std::int64_t>& rank) {
    const std::string_view type = op.type;
    const bool first = ChannelsFirst(op);
    const std::int64_t channel_axis = first ? 1 : -1;
    if (type == "Placeholder" || type == "PlaceholderWithDefault") {
      layer.kind = OpKind::kInput;
      const auto* shape = FindAttr<OpShape>(op, "shape");
      if (shape != nullptr && *shape) rank = static_cast<std::int64_t>((*shape)->size());
    } else if (IsIdentityType(type)) {
      layer.kind = OpKind::kIdentity;
    } else if (IsActivation(type)) {
      layer.kind = OpKind::kActivation;
      layer.activation = type;
    } else if ((type == "Add" || type == "AddV2" || type == "AddN") &&
               inputs.size() == op.inputs.size()) {
      layer.kind = OpKind::kAdd;
      for (const OpEdge& input : inputs) {
        const auto other = RankOf(input);
        if (!other || !rank || *other != *rank) rank.reset();
      }
    } else if (type == "ConcatV2" && inputs.size() + 1 == op.inputs.size()) {
      const auto axis = Integers(op.inputs.back());
      if (axis.size() == 1) {
        layer.kind = OpKind::kConcat;
        layer.axis = axis[0];
      }
    } else if (type == "MaxPool" || type == "MaxPool3D") {
      layer.kind = OpKind::kMaxPool;
      layer.axis = channel_axis;
      rank = type == "MaxPool" ? 4 : 5;
    } else if (type == "AvgPool" || type == "AvgPool3D") {
      layer.kind = OpKind::kAveragePool;
      layer.axis = channel_axis;
      rank = type == "AvgPool" ? 4 : 5;
    } else if (type == "Mean" || type == "Max") {
      ClassifyReduction(op, layer, rank);
    } else if (type == "Pad") {
      ClassifyPad(op, layer);
    } else if (type == "ResizeNearestNeighbor" || type == "ResizeBilinear") {
      layer.kind = OpKind::kUpsample;
      layer.axis = -1;
    } else if (type == "Reshape") {
      ClassifyReshape(op, layer, rank);
    } else {
      rank.reset();
    }
  }

  static bool IsActivation(std::string_view type) {
    for (const std::string_view one : {"Relu", "Relu6", "Elu", "Selu", "Sigmoid", "Tanh",
                                       "LeakyRelu", "Softplus", "Softsign", "Softmax"}) {
      if (one == type) return true;
    }
    return false;
  }

  void ClassifyReduction(const Op& op, Layer& layer, std::optional<std::int64_t>& rank) {
    const bool* keep = FindAttr<bool>(op, "keep_dims");
    const bool keeps = keep != nullptr && *keep;
    std::vector<std::int64_t> axes;
    if (op.inputs.size() == 2) axes = Integers(op.inputs[1]);
    std::sort(axes.begin(), axes.end());
    const auto before = rank;
    if (!keeps)
      rank =
          before ? std::optional(*before - static_cast<std::int64_t>(axes.size())) : std::nullopt;
    if (before != 4 && before != 5) return;
    std::vector<std::int64_t> last, first;
    for (std::int64_t axis = 1; axis + 1 < *before; ++axis) {
      last.push_back(axis);
      first.push_back(axis + 1);
    }
    if (axes != last && axes != first) return;
    layer.kind = op.type == "Mean" ? OpKind::kGlobalAveragePool : OpKind::kGlobalMaxPool;
    layer.axis = axes == last ? -1 : 1;
  }

  void ClassifyPad(const Op& op, Layer& layer) const {
    if (op.inputs.size() != 2) return;
    const auto paddings = Integers(op.inputs[1]);
    if (paddings.size() < 6 || paddings.size() % 2 != 0) return;
    const auto pads = [&](std::size_t axis) {
      return paddings[2 * axis] != 0 || paddings[2 * axis + 1] != 0;
    };
    const std::size_t last = paddings.size() / 2 - 1;
    if (pads(0) || (pads(1) && pads(last))) return;
    layer.kind = OpKind::kZeroPad;
    layer.axis = pads(last) ? 1 : -1;
  }

  // [N, H, W, C] to [N, H * W * C]: channels are the fastest axis, whatever the others are.
  void ClassifyReshape(const Op& op, Layer& layer, std::optional<std::int64_t>& rank) const {
    const auto before = rank;
    rank.reset();
    if (op.inputs.size() != 2) return;
    const auto shape = Integers(op.inputs[1]);
    if (!shape.empty()) rank = static_cast<std::int64_t>(shape.size());
    layer.kind = OpKind::kReshape;
    if (shape.size() == 2 && shape[0] == -1 && shape[1] > 0 && before && *before > 2)
      layer.kind = OpKind::kFlatten;
  }

  void MarkOutputs() {
    for (const Key& key : outputs_) {
      const auto value = values_.find(key);
      if (value != values_.end()) result_.graph.values[value->second].is_model_output = true;
    }
  }

  const std::vector<Op>& ops_;
  std::vector<Key> outputs_;
  std::vector<bool> constant_, absorbed_;
  std::vector<std::vector<OpId>> readers_;
  std::map<OpId, UnfusedBatchNorm> unfused_;
  std::map<Key, ValueId> values_;
  LayerGraph result_;
};

}  // namespace

LayerGraph FindLayers(const OpBody& body, const std::vector<OpEdge>& outputs, std::string source) {
  return Finder(body, outputs).Run(std::move(source));
}

}  // namespace ckpt
