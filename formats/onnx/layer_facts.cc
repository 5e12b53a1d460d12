#include "formats/onnx/layer_facts.h"

#include <algorithm>
#include <array>
#include <map>
#include <string_view>
#include <utility>

#include "formats/onnx/batch_statistics.h"
#include "formats/onnx/node_attributes.h"
#include "formats/onnx/tensor_places.h"

namespace ckpt::formats::onnx {
namespace {

using Ints = std::vector<std::int64_t>;

bool AllZero(const Ints& values) {
  return std::all_of(values.begin(), values.end(), [](std::int64_t v) { return v == 0; });
}

// Element by element, one input, nothing kept apart by channel.
constexpr std::array<std::string_view, 34> kElementwise = {
    "Relu",       "LeakyRelu",   "Elu",        "Selu",  "Celu",
    "Sigmoid",    "HardSigmoid", "HardSwish",  "Tanh",  "Softplus",
    "Softsign",   "Exp",         "Log",        "Sqrt",  "Abs",
    "Neg",        "Erf",         "Gelu",       "Mish",  "ThresholdedRelu",
    "Clip",       "PRelu",       "Reciprocal", "Floor", "Ceil",
    "Round",      "Sign",        "Sin",        "Cos",   "Softmax",
    "LogSoftmax", "Swish",       "Shrink",     "Not"};
constexpr std::array<std::string_view, 10> kBroadcasting = {"Add", "Sub", "Mul", "Div",  "Pow",
                                                            "Max", "Min", "Sum", "Mean", "Where"};

// Inputs 1 to 4 of a BatchNormalization.
constexpr std::array<std::string_view, 4> kBatchNormInputs = {"gamma", "beta", "moving_mean",
                                                              "moving_variance"};

template <std::size_t N>
bool IsOneOf(const std::array<std::string_view, N>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

Padding PaddingOf(const onnx_proto::NodeProto& node) {
  const std::string automatic = TextAttribute(node, "auto_pad", "NOTSET");
  if (automatic == "VALID") return Padding::kNone;
  if (automatic == "SAME_UPPER" || automatic == "SAME_LOWER") return Padding::kSame;
  if (automatic != "NOTSET") return Padding::kUnknown;
  return AllZero(IntsAttribute(node, "pads")) ? Padding::kNone : Padding::kZeros;
}

bool OnlyFirstOutput(const NodeContext& context) {
  for (int i = 1; i < context.node.output_size(); ++i) {
    const ValueUse& use = context.values.UseOf(context.node.output(i));
    if (!use.readers.empty() || use.captured || use.is_output) return false;
  }
  return true;
}

// "an input of the model", "computed by \"sub\" (Sub)", ...
std::string SourceOf(const NodeContext& context, const std::string& value) {
  if (context.values.IsInput(value)) return "an input of the model";
  const auto producer = context.values.ProducerOf(value);
  if (!producer) return "a value that nothing in the graph yields";
  const auto& node = context.graph.node(*producer);
  const std::string name = node.name().empty() ? value : node.name();
  if (node.op_type() == "ConstantOfShape" || node.op_type() == "Expand") {
    return "filled with one value by \"" + name + "\" (" + node.op_type() + ")";
  }
  return "computed by \"" + name + "\" (" + node.op_type() + ")";
}

// Sets kernel and bias; false, with what gives them instead, where they are no stored constants.
bool BindKernel(const NodeContext& context, Layer& layer) {
  if (context.constants.Find(context.Input(0)) != nullptr) return false;
  constexpr std::array<std::pair<int, const char*>, 2> kInputs = {{{1, "kernel"}, {2, "bias"}}};
  for (const auto& [input, name] : kInputs) {
    const std::string value = context.Input(input);
    if (value.empty()) continue;
    if (const auto tensor = context.Constant(input)) {
      layer.tensors[name] = *tensor;
    } else {
      layer.fed_tensors[name] = SourceOf(context, value);
    }
  }
  return layer.fed_tensors.empty();
}

void DescribeConvolution(const NodeContext& context, bool transposed, Layer& layer) {
  if (!BindKernel(context, layer)) return;
  layer.kind = transposed ? OpKind::kConvTranspose : OpKind::kConv;
  layer.layout = transposed ? KernelLayout::kInOutSpatial : KernelLayout::kOutInSpatial;
  layer.groups = IntAttribute(context.node, "group", 1);
  layer.padding = PaddingOf(context.node);
  const Ints strides = IntsAttribute(context.node, "strides");
  layer.unit_stride =
      std::all_of(strides.begin(), strides.end(), [](std::int64_t s) { return s == 1; });
  layer.axis = 1;
  layer.can_rebind = true;
  layer.can_gain_bias = !layer.tensors.contains("bias");
}

void DescribeGemm(const NodeContext& context, Layer& layer) {
  if (!BindKernel(context, layer)) return;
  layer.kind = OpKind::kDense;
  const bool transposed = IntAttribute(context.node, "transB", 0) != 0;
  layer.layout = transposed ? KernelLayout::kOutInSpatial : KernelLayout::kSpatialInOut;
  layer.kernel_factor = FloatAttribute(context.node, "alpha", 1);
  const double beta = FloatAttribute(context.node, "beta", 1);
  if (layer.tensors.contains("bias")) layer.bias_factor = beta;
  if (IntAttribute(context.node, "transA", 0) != 0) {
    layer.not_forward = "its input is transposed (transA)";
  }
  layer.axis = -1;
  layer.can_rebind = true;
  layer.can_gain_bias = !layer.tensors.contains("bias");
}

void DescribeMatMul(const NodeContext& context, Layer& layer) {
  if (context.ConstantRank(1) != 2U || !BindKernel(context, layer)) return;
  layer.kind = OpKind::kDense;
  layer.layout = KernelLayout::kSpatialInOut;
  layer.axis = -1;
  layer.can_rebind = true;
  layer.can_gain_bias = context.opset >= 7;  // an addition that broadcasts
}

// By the rules of each version: is_test before 7, the number of outputs before 14, then an
// attribute.
std::string TrainingMode(const NodeContext& context) {
  const auto extra = std::count_if(context.node.output().begin(), context.node.output().end(),
                                   [](const std::string& output) { return !output.empty(); });
  if (context.opset >= 14) {
    const std::int64_t mode = IntAttribute(context.node, "training_mode", 0);
    return mode == 0 ? "" : "training_mode is " + std::to_string(mode);
  }
  if (context.opset >= 7) {
    return extra > 1 ? "it yields the statistics of its batch, too" : "";
  }
  return IntAttribute(context.node, "is_test", 0) == 0 ? "is_test is 0" : "";
}

// PyTorch's exporter leaves the counter of batches in the file, and no node reads it.
void BindCounter(const NodeContext& context, Layer& layer) {
  if (context.constants.Find(context.Input(1)) == nullptr) return;
  const std::string& gamma = context.constants.NameOf(context.Input(1));
  if (!gamma.ends_with(".weight")) return;
  const std::string counter =
      gamma.substr(0, gamma.size() - std::string_view("weight").size()) + "num_batches_tracked";
  if (!context.values.UseOf(counter).readers.empty()) return;
  if (const auto tensor = context.tensor(counter)) layer.tensors["num_batches_tracked"] = *tensor;
}

// Statistics that the graph computes from what they normalise are those of the batch, whatever the
// node's own mode is.
void JudgeStatistics(const NodeContext& context, Layer& layer) {
  for (const auto& [name, index] : {std::pair("moving_mean", 3), {"moving_variance", 4}}) {
    if (!layer.fed_tensors.contains(name)) continue;
    const std::string reduction = BatchReductionBehind(context, index);
    if (reduction.empty()) continue;
    if (layer.training_mode.empty())
      layer.training_mode = reduction + " computes its statistics from its own input";
    layer.fed_tensors[name] = "computed from its own input by " + reduction;
  }
}

// The stored vector that a chain of Tile and Expand repeats, where one of them is a Tile.
std::optional<TensorId> RepeatedVector(const NodeContext& context, std::string value) {
  bool tiled = false;
  for (int steps = 0; steps < 4; ++steps) {
    if (const auto* stored = context.constants.Find(value)) {
      if (!tiled || stored->dims_size() != 1) return std::nullopt;
      return context.tensor(context.constants.NameOf(value));
    }
    const auto producer = context.values.ProducerOf(value);
    if (!producer) return std::nullopt;
    const auto& node = context.graph.node(*producer);
    const bool tiles = node.op_type() == "Tile";
    if (!IsOnnxOperator(node) || (!tiles && node.op_type() != "Expand")) return std::nullopt;
    tiled = tiled || tiles;
    value = node.input_size() > 0 ? node.input(0) : std::string();
  }
  return std::nullopt;
}

// PyTorch exports an instance norm with stored statistics as a batch norm over [1, N * C, ...],
// whose four vectors are those of the module once for each example.
void BindRepeatedVectors(const NodeContext& context, Layer& layer) {
  std::map<std::string, TensorId> vectors;
  for (const auto& [name, source] : layer.fed_tensors) {
    const auto at = std::find(kBatchNormInputs.begin(), kBatchNormInputs.end(), name);
    const auto vector =
        RepeatedVector(context, context.Input(static_cast<int>(at - kBatchNormInputs.begin()) + 1));
    if (!vector) return;
    vectors.emplace(name, *vector);
  }
  if (vectors.size() != kBatchNormInputs.size()) return;
  layer.tensors.insert(vectors.begin(), vectors.end());
  layer.fed_tensors.clear();
  layer.can_rebind = false;
  layer.not_affine =
      "it is an instance norm with stored statistics: its vectors are repeated for each example "
      "(Tile), over examples and channels as one axis";
}

void DescribeBatchNorm(const NodeContext& context, Layer& layer) {
  layer.kind = OpKind::kBatchNorm;
  layer.axis = 1;
  layer.epsilon = FloatAttribute(context.node, "epsilon", 1e-5F);
  layer.momentum = FloatAttribute(context.node, "momentum", 0.9F);
  layer.training_mode = TrainingMode(context);
  layer.can_rebind = true;
  for (int i = 0; i < 4; ++i) {
    const std::string input = context.Input(i + 1);
    const std::string name(kBatchNormInputs[static_cast<std::size_t>(i)]);
    if (input.empty()) {
      layer.missing_tensors.push_back(name);
    } else if (const auto tensor = context.Constant(i + 1)) {
      layer.tensors[name] = *tensor;
    } else {
      layer.fed_tensors[name] = SourceOf(context, input);
    }
  }
  BindCounter(context, layer);
  BindRepeatedVectors(context, layer);
  JudgeStatistics(context, layer);
  if (context.opset < 9 && IntAttribute(context.node, "spatial", 1) == 0) {
    layer.not_affine = "spatial is 0: it has its parameters per position, not per channel";
  } else if (context.opset > kNewestOpset) {
    layer.not_affine = "operator set " + std::to_string(context.opset) + " is not known here";
  } else if (!OnlyFirstOutput(context)) {
    layer.not_affine = "its other outputs are read";
  }
  if (!layer.training_mode.empty()) layer.not_inference = layer.not_affine;
  const auto rank = context.rank(context.Input(0));
  if (context.opset >= 7 && rank && *rank >= 2) {
    layer.axes_behind_channels = static_cast<std::size_t>(*rank - 2);
  }
}

void DescribePool(const NodeContext& context, Layer& layer) {
  const std::string& type = context.node.op_type();
  if (!OnlyFirstOutput(context)) return;
  layer.axis = 1;
  if (type == "MaxPool") layer.kind = OpKind::kMaxPool;
  if (type == "GlobalMaxPool") layer.kind = OpKind::kGlobalMaxPool;
  if (type == "GlobalAveragePool") layer.kind = OpKind::kGlobalAveragePool;
  if (type == "AveragePool" && (IntAttribute(context.node, "count_include_pad", 0) == 0 ||
                                PaddingOf(context.node) == Padding::kNone)) {
    // Before version 7 padding is counted in some runtimes.
    if (context.opset >= 7 || PaddingOf(context.node) == Padding::kNone) {
      layer.kind = OpKind::kAveragePool;
    }
  }
}

// A mean over axes behind the channels.
void DescribeReduceMean(const NodeContext& context, Layer& layer) {
  Ints axes = IntsAttribute(context.node, "axes");
  if (context.opset >= 18) {
    axes.clear();
    for (const double axis : context.ConstantElements(1).value_or(std::vector<double>())) {
      axes.push_back(static_cast<std::int64_t>(axis));
    }
  }
  if (axes.empty() || *std::min_element(axes.begin(), axes.end()) < 2) return;
  layer.kind = OpKind::kGlobalAveragePool;
  layer.axis = 1;
}

void DescribePad(const NodeContext& context, Layer& layer) {
  const std::string mode = TextAttribute(context.node, "mode", "constant");
  const bool by_input = context.opset >= 11;
  if (!context.Input(3).empty()) return;  // axes of its own
  Ints pads = IntsAttribute(context.node, context.opset >= 2 ? "pads" : "paddings");
  double value = FloatAttribute(context.node, "value", 0);
  if (by_input) {
    const auto given = context.ConstantElements(1);
    if (!given) return;
    pads.assign(given->begin(), given->end());
    value = 0;
    if (!context.Input(2).empty()) {
      const auto fill = context.ConstantElements(2);
      if (!fill || fill->size() != 1) return;
      value = fill->front();
    }
  }
  const std::size_t rank = pads.size() / 2;
  if (pads.size() % 2 != 0 || rank < 2) return;
  for (const std::size_t axis : {std::size_t{0}, std::size_t{1}}) {
    if (pads[axis] != 0 || pads[rank + axis] != 0) return;
  }
  layer.axis = 1;
  const bool cuts = std::any_of(pads.begin(), pads.end(), [](std::int64_t p) { return p < 0; });
  if (mode == "constant" && value == 0 && !cuts) {
    layer.kind = AllZero(pads) ? OpKind::kIdentity : OpKind::kZeroPad;
  } else if (mode == "reflect" || mode == "edge" || mode == "wrap") {
    layer.kind = OpKind::kUpsample;  // every element is one of the input's
  }
}

void DescribeResize(const NodeContext& context, Layer& layer) {
  const std::string mode = TextAttribute(context.node, "mode", "nearest");
  if (mode != "nearest" && mode != "linear" && mode != "bilinear") return;
  if (TextAttribute(context.node, "coordinate_transformation_mode", "") == "tf_crop_and_resize" ||
      FindAttribute(context.node, "axes") != nullptr || !context.Input(3).empty()) {
    return;
  }
  std::vector<double> scales;
  if (context.node.op_type() == "Upsample" && context.opset < 9) {
    const auto* recorded = FindAttribute(context.node, "scales");
    if (recorded != nullptr) scales.assign(recorded->floats().begin(), recorded->floats().end());
  } else {
    const int input = context.node.op_type() == "Resize" && context.opset >= 11 ? 2 : 1;
    scales = context.ConstantElements(input).value_or(std::vector<double>());
  }
  if (scales.size() < 2 || scales[0] != 1 || scales[1] != 1) return;
  layer.kind = OpKind::kUpsample;
  layer.axis = 1;
}

void DescribeDropout(const NodeContext& context, Layer& layer) {
  if (context.opset < 7 && IntAttribute(context.node, "is_test", 0) == 0) {
    layer.training_mode = "is_test is 0";
    return;
  }
  if (context.opset >= 12 && !context.Input(2).empty()) {
    const auto training = context.ConstantElements(2);
    if (training && training->size() == 1 && training->front() != 0)
      layer.training_mode = "training_mode is true";
    if (!training || training->size() != 1 || training->front() != 0) return;
  }
  if (!OnlyFirstOutput(context)) return;
  layer.kind = OpKind::kIdentity;
}

// [0, -1]: the batch stays, the rest becomes one axis.
void DescribeReshape(const NodeContext& context, Layer& layer) {
  layer.kind = OpKind::kReshape;
  const auto shape = context.ConstantElements(1);
  if (shape == std::vector<double>{0, -1} && IntAttribute(context.node, "allowzero", 0) == 0) {
    layer.kind = OpKind::kFlatten;
  }
}

void DescribeAddition(const NodeContext& context, Layer& layer) {
  for (const auto& input : context.node.input()) {
    if (input.empty() || context.constants.Find(input) != nullptr) return;
  }
  if (context.opset >= 8 || (context.opset == 7 && context.node.op_type() == "Add")) {
    layer.kind = OpKind::kAdd;
  }
}

void DescribeConcat(const NodeContext& context, Layer& layer) {
  for (const auto& input : context.node.input()) {
    if (input.empty() || context.constants.Find(input) != nullptr) return;
  }
  layer.kind = OpKind::kConcat;
  layer.axis = IntAttribute(context.node, "axis", 1);
}

}  // namespace

std::optional<TensorId> NodeContext::Constant(int index) const {
  const std::string name = Input(index);
  if (name.empty() || constants.Find(name) == nullptr) return std::nullopt;
  return tensor(constants.NameOf(name));
}

std::optional<std::vector<double>> NodeContext::ConstantElements(int index) const {
  const auto id = Constant(index);
  return id ? elements(*id) : std::nullopt;
}

std::optional<std::size_t> NodeContext::ConstantRank(int index) const {
  const auto* found = constants.Find(Input(index));
  if (found == nullptr) return std::nullopt;
  return static_cast<std::size_t>(found->dims_size());
}

// Whether it has what every layer has: a first operand, and a value that others may read.
static bool Computes(const onnx_proto::NodeProto& node) {
  return node.input_size() > 0 && node.output_size() > 0 && !node.output(0).empty();
}

Layer DescribeNode(const NodeContext& context) {
  const auto& node = context.node;
  const std::string& type = node.op_type();
  Layer layer;
  layer.name = !node.name().empty() ? node.name() : node.output_size() > 0 ? node.output(0) : type;
  layer.op_type = IsOnnxOperator(node) ? type : node.domain() + "." + type;
  if (!IsOnnxOperator(node) || HasReferences(node) || !Computes(node)) return layer;
  if (type == "BatchNormalization") DescribeBatchNorm(context, layer);
  if (context.opset > kNewestOpset || context.opset < 1) return layer;
  if (type == "Conv") DescribeConvolution(context, false, layer);
  if (type == "ConvTranspose") DescribeConvolution(context, true, layer);
  if (type == "Gemm") DescribeGemm(context, layer);
  if (type == "MatMul") DescribeMatMul(context, layer);
  if (type.ends_with("Pool")) DescribePool(context, layer);
  if (type == "ReduceMean") DescribeReduceMean(context, layer);
  if (type == "Pad") DescribePad(context, layer);
  if (type == "Resize" || type == "Upsample") DescribeResize(context, layer);
  if (type == "Dropout") DescribeDropout(context, layer);
  if (type == "Reshape") DescribeReshape(context, layer);
  if (type == "Add" || type == "Sum") DescribeAddition(context, layer);
  if (type == "Concat") DescribeConcat(context, layer);
  if (type == "Flatten" && IntAttribute(node, "axis", 1) == 1) layer.kind = OpKind::kFlatten;
  if (type == "Identity") layer.kind = OpKind::kIdentity;
  if (IsOneOf(kElementwise, type)) {
    layer.kind = OpKind::kActivation;
    layer.activation = type;
  }
  return layer;
}

std::optional<std::int64_t> OutputRank(const NodeContext& context, const Layer& layer) {
  const std::string& type = context.node.op_type();
  if (!IsOnnxOperator(context.node)) return std::nullopt;
  if (type == "Gemm" || type == "Flatten") return 2;
  if (type == "Conv" || type == "ConvTranspose") {
    if (const auto rank = context.ConstantRank(1)) return static_cast<std::int64_t>(*rank);
    return context.rank(context.Input(0));
  }
  if (type == "Reshape") {
    const auto shape = context.ConstantElements(1);
    return shape ? std::optional(static_cast<std::int64_t>(shape->size())) : std::nullopt;
  }
  if (type == "MatMul") {
    const auto rank = context.rank(context.Input(0));
    if (layer.kind != OpKind::kDense || !rank) return std::nullopt;
    return *rank;  // [..., I] by [I, O]; for rank 1 the same
  }
  if (IsOneOf(kBroadcasting, type)) {
    std::int64_t most = 0;
    for (const auto& input : context.node.input()) {
      const auto rank = context.rank(input);
      if (!rank) return std::nullopt;
      most = std::max(most, *rank);
    }
    return most;
  }
  const bool same = layer.kind == OpKind::kIdentity || layer.kind == OpKind::kActivation ||
                    layer.kind == OpKind::kBatchNorm || layer.kind == OpKind::kConcat ||
                    type.ends_with("Pool") || type == "Pad" || type == "Resize" ||
                    type == "Upsample" || type == "Transpose" || type == "Cast" ||
                    type == "Slice" || type == "Dropout" || type == "InstanceNormalization";
  if (same) return context.rank(context.Input(0));
  return std::nullopt;
}

}  // namespace ckpt::formats::onnx
