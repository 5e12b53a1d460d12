// Operations that insert, drop, order, join and part axes.
// Source: tensorflow/core/ops/array_ops.cc.
#include <numeric>

#include "tensorflow_network/windows.h"

namespace ckpt::tf_network {
namespace {

using network::Concatenate;
using network::DropAxes;
using network::InsertAxes;
using network::SpaceAndDepth;
using network::Split;

Outcome AxisNotKnown() { return NotUnderstood("an axis that the data decide"); }

Outcome ExpandDims(Node& node) {
  const auto axis = node.Integer(1);
  if (!axis) return AxisNotKnown();
  return node.Yield(InsertAxes{{*axis}}, {node.Input(0)});
}

Outcome Squeeze(Node& node) {
  return node.Yield(DropAxes{node.List("squeeze_dims")}, {node.Input(0)});
}

Outcome Transpose(Node& node) {
  const auto order = node.Integers(1);
  if (!order) return NotUnderstood("an order of axes that the data decide");
  if (order->empty()) {
    return node.Yield(network::Unary{network::UnaryFunction::kIdentity}, {node.Input(0)});
  }
  return node.Yield(network::Transpose{*order}, {node.Input(0)});
}

Outcome Join(Node& node, Values parts, std::size_t at) {
  const auto axis = node.Integer(at);
  if (!axis) return AxisNotKnown();
  return node.Yield(Concatenate{*axis}, std::move(parts));
}
Outcome ConcatV2(Node& node) {
  const Values& all = node.Inputs();
  return Join(node, Values(all.begin(), all.end() - 1), all.size() - 1);
}
Outcome Concat(Node& node) {
  const Values& all = node.Inputs();
  return Join(node, Values(all.begin() + 1, all.end()), 0);
}

Outcome Pack(Node& node) {
  const std::int64_t axis = node.Int("axis", 0);
  Values parts;
  for (const ValueId part : node.Inputs()) parts.push_back(node.Add(InsertAxes{{axis}}, {part}));
  return node.Yield(Concatenate{axis}, std::move(parts));
}

Outcome Unpack(Node& node) {
  const std::int64_t axis = node.Int("axis", 0), count = node.Int("num", 0);
  if (count < static_cast<std::int64_t>(node.results()) || count > 65536 ||
      !node.MayPart(static_cast<std::size_t>(count))) {
    return NotUnderstood("how many parts there are");
  }
  const Values parts =
      node.AddMany(Split{axis, {}}, {node.Input(0)}, static_cast<std::size_t>(count));
  Values values;
  for (std::size_t i = 0; i < node.results(); ++i) {
    const std::string name = i == 0 ? node.op().name : node.op().name + ':' + std::to_string(i);
    values.push_back(node.AddMany(DropAxes{{axis}}, {parts[i]}, 1, name)[0]);
  }
  return values;
}

Outcome SplitInto(Node& node, std::size_t data, std::size_t axis_at, const Sizes& sizes) {
  const auto axis = node.Integer(axis_at);
  const std::int64_t count = node.Int(
      "num_split", node.op().type == "Split" ? 0 : static_cast<std::int64_t>(sizes.size()));
  if (!axis) return AxisNotKnown();
  if (count < static_cast<std::int64_t>(node.results()) || count > 65536 ||
      !node.MayPart(static_cast<std::size_t>(count))) {
    return NotUnderstood("how many parts there are");
  }
  return node.AddMany(Split{*axis, sizes}, {node.Input(data)}, static_cast<std::size_t>(count),
                      node.op().name);
}
Outcome SplitEvenly(Node& node) { return SplitInto(node, 1, 0, {}); }
Outcome SplitV(Node& node) {
  const auto sizes = node.Integers(1);
  if (!sizes) return NotUnderstood("sizes of parts that the data decide");
  return SplitInto(node, 0, 2, *sizes);
}

template <bool kToSpace>
Outcome Blocks(Node& node) {
  const auto channel_axis = ChannelAxis(node);
  if (!channel_axis) return NotUnderstood("the data format " + node.Text("data_format", ""));
  SpaceAndDepth blocks;
  blocks.to_space = kToSpace;
  blocks.block = node.Int("block_size", 0);
  blocks.channel_axis = *channel_axis;
  return node.Yield(blocks, {node.Input(0)});
}

constexpr Row kAxisRows[] = {
    {"ExpandDims", 2, ExpandDims},
    {"Squeeze", 1, Squeeze},
    {"Transpose", 2, Transpose},
    {"ConcatV2", 2, ConcatV2},
    {"Concat", 2, Concat},
    {"Pack", 1, Pack},
    {"Unpack", 1, Unpack},
    {"Split", 2, SplitEvenly},
    {"SplitV", 3, SplitV},
    {"DepthToSpace", 1, Blocks<true>},
    {"SpaceToDepth", 1, Blocks<false>},
};

}  // namespace

std::span<const Row> AxisRows() { return kAxisRows; }

}  // namespace ckpt::tf_network
