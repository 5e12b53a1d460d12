#include "formats/onnx/layer_facts.h"

#include <algorithm>
#include <array>
#include <map>
#include <string_view>
#include <utility>

#include "ckpt/layer_computation.h"
#include "formats/onnx/batch_statistics.h"
#include "formats/onnx/node_attributes.h"
#include "formats/onnx/tensor_places.h"

namespace ckpt::formats::onnx {
namespace {

// Inputs 1 to 4 of a BatchNormalization.
constexpr std::array<std::string_view, 4> kBatchNormInputs = {"gamma", "beta", "moving_mean",
                                                              "moving_variance"};

void BeUnknown(Layer& layer) { layer.computation = network::Unknown{}; }

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
  Layer norm;
  norm.name = layer.name;
  layer = std::move(norm);
  layer.op_type = context.node.op_type();
  layer.axis = 1;
  layer.epsilon = FloatAttribute(context.node, "epsilon", 1e-5F);
  layer.computation = network::BatchNormalization{1, *layer.epsilon};
  layer.momentum = FloatAttribute(context.node, "momentum", 0.9F);
  layer.training_mode = TrainingModeOf(context.node, context.opset);
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

void DescribeDropout(const NodeContext& context, Layer& layer) {
  if (context.opset < 7 && IntAttribute(context.node, "is_test", 0) == 0) {
    layer.training_mode = "is_test is 0";
    BeUnknown(layer);
  }
  if (context.opset >= 12 && !context.Input(2).empty()) {
    const auto training = context.ConstantElements(2);
    if (training && training->size() == 1 && training->front() != 0)
      layer.training_mode = "training_mode is true";
  }
  if (!OnlyFirstOutput(context)) BeUnknown(layer);
}

// Before version 7 an average counts its padding in some runtimes.
bool CountsPadding(const NodeContext& context) {
  if (context.node.op_type() != "AveragePool" || context.opset >= 7) return false;
  const std::vector<std::int64_t> pads = IntsAttribute(context.node, "pads");
  const std::string automatic = TextAttribute(context.node, "auto_pad", "NOTSET");
  return automatic.starts_with("SAME") ||
         std::any_of(pads.begin(), pads.end(), [](std::int64_t pad) { return pad != 0; });
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

// Whether it has what every layer has: a first operand, and a value that others may read.
static bool Computes(const onnx_proto::NodeProto& node) {
  return node.input_size() > 0 && node.output_size() > 0 && !node.output(0).empty();
}

std::string TrainingModeOf(const onnx_proto::NodeProto& node, std::int64_t opset) {
  const auto extra = std::count_if(node.output().begin(), node.output().end(),
                                   [](const std::string& output) { return !output.empty(); });
  if (opset >= 14) {
    const std::int64_t mode = IntAttribute(node, "training_mode", 0);
    return mode == 0 ? "" : "training_mode is " + std::to_string(mode);
  }
  if (opset >= 7) return extra > 1 ? "it yields the statistics of its batch, too" : "";
  return IntAttribute(node, "is_test", 0) == 0 ? "is_test is 0" : "";
}

std::string NameOf(const onnx_proto::NodeProto& node) {
  if (!node.name().empty()) return node.name();
  return node.output_size() > 0 ? node.output(0) : node.op_type();
}

void DescribeNode(const NodeContext& context, Layer& layer) {
  const auto& node = context.node;
  const std::string& type = node.op_type();
  if (!IsOnnxOperator(node) || HasReferences(node) || !Computes(node)) return;
  if (type == "BatchNormalization") DescribeBatchNorm(context, layer);
  if (context.opset > kNewestOpset || context.opset < 1) return;
  if (type == "Dropout") DescribeDropout(context, layer);
  if (type == "MatMul" && context.opset < 7) layer.can_gain_bias = false;  // Add does not broadcast
  if (type == "Gemm" && !layer.not_forward.empty()) layer.not_forward += " (transA)";
  if (type.ends_with("Pool") && (!OnlyFirstOutput(context) || CountsPadding(context))) {
    BeUnknown(layer);
  }
}

}  // namespace ckpt::formats::onnx
