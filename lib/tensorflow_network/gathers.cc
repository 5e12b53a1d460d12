// Source: tensorflow/core/ops/array_ops.cc.
#include "tensorflow_network/node.h"

namespace ckpt::tf_network {
namespace {

using network::ScatterNd;

Outcome GatherRows(Node& node) {
  return node.Yield(network::Gather{}, {node.Input(0), node.Input(1)});
}

Outcome GatherV2(Node& node) {
  const auto axis = node.Integer(2);
  if (!axis) return NotUnderstood("an axis that the data decide");
  std::int64_t batch_axes = node.Int("batch_dims", 0);
  const auto of_indices = node.Rank(1);
  if (batch_axes < 0) {
    if (!of_indices) return NotUnderstood("the rank of its indices is not known");
    batch_axes += *of_indices;
  }
  return node.Yield(network::Gather{*axis, batch_axes}, {node.Input(0), node.Input(1)});
}

Outcome GatherNd(Node& node) {
  return node.Yield(network::GatherNd{}, {node.Input(0), node.Input(1)});
}

// Inputs: indices, updates, shape.
Outcome ScatterOnZeros(Node& node) {
  const ValueId zeros = node.Add(network::Fill{0, node.Kind(1)}, {node.Input(2)});
  return node.Yield(ScatterNd{true}, {zeros, node.Input(0), node.Input(1)});
}
template <bool kAdd>
Outcome Scatter(Node& node) {
  return node.Yield(ScatterNd{kAdd}, {node.Input(0), node.Input(1), node.Input(2)});
}

// Inputs: indices, depth, on, off.
Outcome OneHot(Node& node) {
  const auto on = node.Reals(2), off = node.Reals(3);
  ValueId values;
  if (on && off && on->size() == 1 && off->size() == 1) {
    values = node.builder().AddInline({{2}, {off->front(), on->front()}, node.Kind(2)});
  } else {
    const ValueId of_off = node.Add(network::InsertAxes{{0}}, {node.Input(3)});
    const ValueId of_on = node.Add(network::InsertAxes{{0}}, {node.Input(2)});
    values = node.Add(network::Concatenate{0}, {of_off, of_on});
  }
  // To TensorFlow an index below 0 is none, as one of the depth is; the vocabulary counts it from
  // the end.
  const ValueId zero = node.builder().AddScalar(0, ElementKind::kInteger);
  const ValueId is_none =
      node.Add(network::Binary{network::BinaryFunction::kLess}, {node.Input(0), zero});
  const ValueId indices = node.Add(network::Select{}, {is_none, node.Input(1), node.Input(0)});
  return node.Yield(network::OneHot{node.Int("axis", -1)}, {indices, node.Input(1), values});
}

constexpr Row kGatherRows[] = {
    {"Gather", 2, GatherRows},
    {"GatherV2", 3, GatherV2},
    {"GatherNd", 2, GatherNd},
    {"ScatterNd", 3, ScatterOnZeros},
    {"TensorScatterUpdate", 3, Scatter<false>},
    {"TensorScatterAdd", 3, Scatter<true>},
    {"OneHot", 4, OneHot},
};

}  // namespace

std::span<const Row> GatherRows() { return kGatherRows; }

}  // namespace ckpt::tf_network
