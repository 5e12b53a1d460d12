#include "fold/value_ranks.h"

namespace ckpt {
namespace {

using Rank = std::optional<std::int64_t>;

// A convolution's input and output have the rank of its kernel: batch and channels stand where the
// two channel axes of the kernel do.
Rank ConvolutionRank(const Manifest& manifest, const Layer& layer) {
  const auto kernel = layer.tensors.find("kernel");
  if (!IsConvolution(layer.kind) || kernel == layer.tensors.end()) return {};
  return static_cast<std::int64_t>(manifest.tensors[kernel->second.index].shape.rank());
}

Rank OutputRank(const Manifest& manifest, const Node& node, const std::vector<Rank>& ranks) {
  const Layer& layer = manifest.graph->layers[node.layer];
  switch (layer.kind) {
    case OpKind::kConv:
    case OpKind::kConvTranspose:
    case OpKind::kDepthwiseConv:
    case OpKind::kSeparableConv:
      return ConvolutionRank(manifest, layer);
    case OpKind::kFlatten:
      return 2;
    case OpKind::kDense:
    case OpKind::kBatchNorm:
    case OpKind::kIdentity:
    case OpKind::kActivation:
    case OpKind::kMaxPool:
    case OpKind::kAveragePool:
    case OpKind::kZeroPad:
    case OpKind::kUpsample:
      return node.inputs.size() == 1 ? ranks[node.inputs[0]] : Rank{};
    case OpKind::kAdd:
    case OpKind::kConcat: {
      if (node.inputs.empty()) return {};
      for (const ValueId input : node.inputs) {
        if (ranks[input] != ranks[node.inputs[0]]) return {};
      }
      return ranks[node.inputs[0]];
    }
    case OpKind::kInput:
    case OpKind::kGlobalMaxPool:
    case OpKind::kGlobalAveragePool:
    case OpKind::kReshape:
    case OpKind::kOther:
      return {};
  }
  return {};
}

}  // namespace

bool IsConvolution(OpKind kind) noexcept {
  return kind == OpKind::kConv || kind == OpKind::kConvTranspose ||
         kind == OpKind::kDepthwiseConv || kind == OpKind::kSeparableConv;
}

bool IsLinear(OpKind kind) noexcept { return IsConvolution(kind) || kind == OpKind::kDense; }

std::vector<Rank> ValueRanks(const Manifest& manifest) {
  const ModelGraph& graph = *manifest.graph;
  std::vector<Rank> ranks(graph.values.size());
  for (std::size_t v = 0; v < graph.values.size(); ++v) ranks[v] = graph.values[v].rank;
  for (const Node& node : graph.nodes) {
    const Rank rank = ConvolutionRank(manifest, graph.layers[node.layer]);
    if (rank && node.inputs.size() == 1 && !ranks[node.inputs[0]]) ranks[node.inputs[0]] = rank;
  }
  for (const Node& node : graph.nodes) {
    if (!ranks[node.output]) ranks[node.output] = OutputRank(manifest, node, ranks);
  }
  return ranks;
}

AxisMatch CompareAxes(std::int64_t a, std::int64_t b, std::optional<std::int64_t> rank) noexcept {
  if (a == b) return AxisMatch::kSame;
  if ((a < 0) == (b < 0)) return AxisMatch::kDifferent;
  if (!rank) return AxisMatch::kUnknown;
  // One counts from the front, the other from the back.
  return a - b == *rank || b - a == *rank ? AxisMatch::kSame : AxisMatch::kDifferent;
}

}  // namespace ckpt
