// Source: tensorflow/core/ops/array_ops.cc.
#include "tensorflow_network/node.h"

namespace ckpt::tf_network {
namespace {

using network::Pad;
using network::SpaceAndBatch;

// Amounts [rank, 2] apart: all before, all after. Nothing where they are not known.
struct Amounts {
  Sizes before, after;
};
std::optional<Amounts> AmountsOf(const Node& node, std::size_t i) {
  const auto both = node.Integers(i);
  if (!both || both->size() % 2 != 0) return std::nullopt;
  Amounts amounts;
  for (std::size_t k = 0; k < both->size(); k += 2) {
    amounts.before.push_back((*both)[k]);
    amounts.after.push_back((*both)[k + 1]);
  }
  return amounts;
}

Outcome PadBy(Node& node, Pad pad, ValueId value) {
  if (auto amounts = AmountsOf(node, 1)) {
    pad.before = std::move(amounts->before);
    pad.after = std::move(amounts->after);
    if (value == kNoValue) return node.Yield(std::move(pad), {node.Input(0)});
    return node.Yield(std::move(pad), {node.Input(0), kNoValue, value});
  }
  const ValueId turned = node.Add(network::Transpose{{1, 0}}, {node.Input(1)});
  const ValueId both = node.Add(network::Reshape{{network::Reshape::kRest}}, {turned});
  if (value == kNoValue) return node.Yield(std::move(pad), {node.Input(0), both});
  return node.Yield(std::move(pad), {node.Input(0), both, value});
}

Outcome PadWithZeros(Node& node) { return PadBy(node, {}, kNoValue); }

Outcome PadV2(Node& node) {
  const auto value = node.Reals(2);
  if (!value || value->size() != 1) return PadBy(node, {}, node.Input(2));
  Pad pad;
  pad.value = value->front();
  return PadBy(node, pad, kNoValue);
}

Outcome MirrorPad(Node& node) {
  const std::string mode = node.Text("mode", "");
  Pad pad;
  if (mode != "REFLECT" && mode != "SYMMETRIC") return NotUnderstood("the mode \"" + mode + "\"");
  pad.mode = mode == "REFLECT" ? Pad::Mode::kReflect : Pad::Mode::kSymmetric;
  return PadBy(node, pad, kNoValue);
}

template <bool kToSpace>
Outcome Batches(Node& node) {
  SpaceAndBatch batches;
  batches.to_space = kToSpace;
  const auto block = node.Integers(1);
  const auto amounts = AmountsOf(node, 2);
  if (!block || !amounts) {
    return node.Yield(batches, {node.Input(0), node.Input(1), node.Input(2)});
  }
  batches.block = *block;
  batches.before = amounts->before;
  batches.after = amounts->after;
  return node.Yield(batches, {node.Input(0)});
}

// One size of blocks for both spatial axes.
template <bool kToSpace>
Outcome BatchesByAttribute(Node& node) {
  SpaceAndBatch batches;
  batches.to_space = kToSpace;
  const std::int64_t block = node.Int("block_size", 0);
  const auto amounts = AmountsOf(node, 1);
  if (!amounts) return NotUnderstood("amounts that the data decide");
  batches.block = {block, block};
  batches.before = amounts->before;
  batches.after = amounts->after;
  return node.Yield(batches, {node.Input(0)});
}

constexpr Row kPaddingRows[] = {
    {"Pad", 2, PadWithZeros},
    {"PadV2", 3, PadV2},
    {"MirrorPad", 2, MirrorPad},
    {"SpaceToBatchND", 3, Batches<false>},
    {"BatchToSpaceND", 3, Batches<true>},
    {"SpaceToBatch", 2, BatchesByAttribute<false>},
    {"BatchToSpace", 2, BatchesByAttribute<true>},
};

}  // namespace

std::span<const Row> PaddingRows() { return kPaddingRows; }

}  // namespace ckpt::tf_network
