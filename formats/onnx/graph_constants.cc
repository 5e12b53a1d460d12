#include "formats/onnx/graph_constants.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <string>
#include <string_view>

#include "formats/onnx/constant_tensors.h"
#include "formats/onnx/tensor_places.h"

namespace ckpt::formats::onnx {
namespace {

using onnx_proto::NodeProto;

// Inputs of an operator, by number, that say how it works.
struct ConstantArguments {
  std::string_view op;
  int first, last;
};
constexpr auto kArguments = std::to_array<ConstantArguments>({
    {"Clip", 1, 2},
    {"ConstantOfShape", 0, 0},
    {"CumSum", 1, 1},
    {"Dropout", 1, 2},
    {"Expand", 1, 1},
    {"Gather", 1, 1},
    {"GatherElements", 1, 1},
    {"GatherND", 1, 1},
    {"NonMaxSuppression", 2, 4},
    {"OneHot", 1, 2},
    {"Pad", 1, 3},
    {"Range", 0, 2},
    {"Reshape", 1, 1},
    {"Resize", 1, 3},
    {"ScatterElements", 1, 1},
    {"ScatterND", 1, 1},
    {"Slice", 1, 4},
    {"Split", 1, 1},
    {"Squeeze", 1, 1},
    {"Tile", 1, 2},
    {"TopK", 1, 1},
    {"Trilu", 1, 1},
    {"Unsqueeze", 1, 1},
    {"Upsample", 1, 1},
});
constexpr auto kArithmetic = std::to_array<std::string_view>(
    {"Add", "Concat", "Div", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Max",
     "Min", "Mod", "Mul", "Pow", "Sub", "Sum", "Where"});

bool IsArgument(const NodeProto& node, int input) {
  if (!IsOnnxOperator(node)) return false;
  if (node.op_type().starts_with("Reduce")) return input == 1;
  return std::any_of(kArguments.begin(), kArguments.end(), [&](const ConstantArguments& arguments) {
    return arguments.op == node.op_type() && arguments.first <= input && input <= arguments.last;
  });
}

bool IsArithmetic(const NodeProto& node) {
  return IsOnnxOperator(node) &&
         std::find(kArithmetic.begin(), kArithmetic.end(), node.op_type()) != kArithmetic.end();
}

// Integers that such a node reads may be weights.
bool MayQuantise(const NodeProto& node) {
  const std::string_view op = node.op_type();
  return !IsOnnxOperator(node) || op.starts_with("QLinear") || op.ends_with("Integer") ||
         op == "QuantizeLinear" || op == "DequantizeLinear";
}

bool IsNumberWithFraction(Dtype dtype) { return IsFloat(dtype) || IsComplex(dtype); }

// What reads a constant, of all of its names.
struct Readers {
  bool any = false;
  bool only_arguments = true, only_arithmetic = true, quantise = false;
};

class Marker {
 public:
  Marker(const onnx_proto::GraphProto& graph, Manifest& manifest)
      : graph_(graph), manifest_(manifest), constants_(graph) {}

  void Mark() {
    for (const NodeProto& node : graph_.node()) Count(node);
    for (const auto& output : graph_.output()) {
      if (Readers* readers = Find(output.name())) readers->only_arithmetic = false;
    }
    FindConstantNodes();
    std::set<TensorId> parameters;
    for (const Layer& layer : manifest_.graph->layers) {
      for (const auto& [name, id] : layer.tensors) {
        if (!IsNumbered(name)) parameters.insert(id);
      }
    }
    for (std::uint32_t i = 0; i < manifest_.tensors.size(); ++i) {
      TensorInfo& info = manifest_.tensors[i];
      if (!parameters.contains(TensorId{i}) && IsConstant(info)) info.section = Section::kConstant;
    }
  }

 private:
  // Not bound under a name of the layer's own, but as one of several inputs (model_graph.cc).
  static bool IsNumbered(const std::string& name) {
    return name.starts_with("input_") || name.starts_with("captured_") ||
           name.starts_with("output_");
  }

  Readers* Find(const std::string& value) {
    if (value.empty() || constants_.Find(value) == nullptr) return nullptr;
    return &readers_[constants_.NameOf(value)];
  }

  void Count(const NodeProto& node) {
    if (node.op_type() == "Identity" && IsOnnxOperator(node)) return;  // passes a name on
    for (int i = 0; i < node.input_size(); ++i) {
      Readers* readers = Find(node.input(i));
      if (readers == nullptr) continue;
      const bool argument = IsArgument(node, i);
      readers->any = true;
      readers->only_arguments = readers->only_arguments && argument;
      readers->only_arithmetic = readers->only_arithmetic && (argument || IsArithmetic(node));
      readers->quantise = readers->quantise || (!argument && MayQuantise(node));
    }
  }

  void FindConstantNodes() {
    for (const NodeProto& node : graph_.node()) {
      if (ConstantValue(const_cast<NodeProto&>(node)) != nullptr) {
        constant_nodes_.insert(node.output(0));
      }
    }
  }

  bool IsConstant(const TensorInfo& info) const {
    const auto found = readers_.find(info.name);
    if (found == readers_.end() || !found->second.any) return false;
    const Readers& readers = found->second;
    if (readers.only_arguments) return true;
    if (!IsNumberWithFraction(info.dtype)) return !readers.quantise;
    return readers.only_arithmetic && constant_nodes_.contains(info.name);
  }

  const onnx_proto::GraphProto& graph_;
  Manifest& manifest_;
  const ConstantTensors constants_;
  std::map<std::string, Readers> readers_;  // by the tensor's name in the manifest
  std::set<std::string> constant_nodes_;
};

}  // namespace

void MarkGraphConstants(const onnx_proto::GraphProto& graph, Manifest& manifest) {
  Marker(graph, manifest).Mark();
}

}  // namespace ckpt::formats::onnx
