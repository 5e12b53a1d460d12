// Blocks of the spatial axes that become channels or examples, and back.
//
// Sources: the operator documentation of ONNX (DepthToSpace, SpaceToDepth) and TensorFlow
// (SpaceToBatchND, BatchToSpaceND).
#include <utility>

#include "execution/kernels.h"
#include "execution/strided.h"

namespace ckpt::execution {
Status Compute(const network::SpaceAndDepth& blocks, const Call& call) {
  using Order = network::SpaceAndDepth::Order;
  const bool to_space = blocks.to_space;
  // `wide` has the blocks in its channels, `tall` in its spatial axes.
  const Array& x = call[0];
  Array& y = call.result();
  const Array &wide = to_space ? x : y, &tall = to_space ? y : x;
  const std::size_t channel = blocks.channel_axis == 1 ? 1 : 3;
  const std::size_t height = channel == 1 ? 2 : 1, width = height + 1;
  const Sizes of_wide = StridesOf(wide.shape);
  const std::int64_t block = blocks.block, channels = tall.shape[channel];
  Counter counter(tall.shape);
  for (std::size_t i = 0; i < tall.elements.size(); ++i) {
    Sizes at = counter.index();
    const std::int64_t place = at[height] % block * block + at[width] % block;
    at[height] /= block;
    at[width] /= block;
    at[channel] = blocks.order == Order::kBlockFirst ? place * channels + at[channel]
                                                     : at[channel] * block * block + place;
    const std::size_t in_wide = Index(OffsetOf(at, of_wide));
    const std::size_t from = to_space ? in_wide : i, to = to_space ? i : in_wide;
    y.elements[to] = x.elements[from];
    counter.Next();
  }
  return {};
}

Status Compute(const network::SpaceAndBatch& blocks, const Call& call) {
  const Array& x = call[0];
  Array& y = call.result();
  Sizes block = blocks.block, before = blocks.before;
  if (const Array* given = call.Given(1)) block = IntegersOf(*given);
  if (const Array* given = call.Given(2)) {
    const Sizes both = IntegersOf(*given);
    before.clear();
    for (std::size_t i = 0; i < both.size(); i += 2) before.push_back(both[i]);
  }
  // The value whose examples are the fewer has the blocks side by side.
  const Array &flat = blocks.to_space ? y : x, &split = blocks.to_space ? x : y;
  const Sizes of_flat = StridesOf(flat.shape);
  const std::int64_t examples = flat.shape[0];
  Counter counter(split.shape);
  for (std::size_t i = 0; i < split.elements.size(); ++i) {
    Sizes at = counter.index();
    counter.Next();
    std::int64_t place = examples == 0 ? 0 : at[0] / examples;
    at[0] = examples == 0 ? 0 : at[0] % examples;
    bool inside = true;
    for (std::size_t axis = block.size(); axis-- > 0;) {
      at[axis + 1] = at[axis + 1] * block[axis] + place % block[axis] - before[axis];
      place /= block[axis];
      inside = inside && at[axis + 1] >= 0 && at[axis + 1] < flat.shape[axis + 1];
    }
    if (!inside) continue;  // padding, or what is cropped
    const std::size_t in_flat = Index(OffsetOf(at, of_flat));
    const std::size_t from = blocks.to_space ? i : in_flat, to = blocks.to_space ? in_flat : i;
    y.elements[to] = x.elements[from];
  }
  return {};
}

}  // namespace ckpt::execution
