#include "formats/onnx/batch_statistics.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <set>
#include <string_view>
#include <vector>

#include "formats/onnx/tensor_places.h"

namespace ckpt::formats::onnx {
namespace {

// A mean or a variance is at most a dozen nodes away from what it is of.
constexpr std::size_t kMaxValues = 64;
constexpr int kMaxInputs = 8;  // of one node on the way

// Computes from its inputs alone, element by element, or changes the shape.
constexpr std::array<std::string_view, 22> kPlain = {
    "Identity", "Cast", "CastLike", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Transpose",
    "Expand",   "Add",  "Sub",      "Mul",     "Div",     "Pow",       "Sqrt",    "Abs",
    "Neg",      "Max",  "Clip",     "Sum",     "Mean",    "Reciprocal"};

bool IsPlain(std::string_view type) {
  return std::find(kPlain.begin(), kPlain.end(), type) != kPlain.end();
}

bool IsReduction(std::string_view type) {
  return type.starts_with("Reduce") || type == "GlobalAveragePool";
}

}  // namespace

std::string BatchReductionBehind(const NodeContext& context, int index) {
  const std::string data = context.Input(0);
  std::vector<std::string> pending = {context.Input(index)};
  std::set<std::string> seen;
  std::string reduction;
  bool reached = false;
  while (!pending.empty() && seen.size() < kMaxValues) {
    const std::string value = pending.back();
    pending.pop_back();
    if (value.empty() || !seen.insert(value).second) continue;
    if (value == data) {
      reached = true;
      continue;
    }
    const auto producer = context.values.ProducerOf(value);
    if (!producer) continue;
    const auto& node = context.graph.node(*producer);
    const bool reduces = IsReduction(node.op_type());
    if (!IsOnnxOperator(node) || (!reduces && !IsPlain(node.op_type()))) continue;
    if (reduces && reduction.empty()) {
      reduction = '"' + (node.name().empty() ? value : node.name()) + "\" (" + node.op_type() + ")";
    }
    for (int i = 0; i < node.input_size() && i < kMaxInputs; ++i) pending.push_back(node.input(i));
  }
  return reached ? reduction : std::string();
}

}  // namespace ckpt::formats::onnx
