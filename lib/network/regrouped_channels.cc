// Channel rules of what gives the elements other axes.
#include <algorithm>
#include <limits>

#include "network/mapped_operand.h"

namespace ckpt::network {
namespace {

// Axis `at` of a result of this shape, whose places behind it number `behind`, and channels that
// stand `stride` elements apart, `size` of them.
std::optional<ChannelPlaces> PlacesAt(std::int64_t at, std::int64_t behind, std::int64_t size,
                                      std::int64_t stride) {
  if (stride % behind != 0) return std::nullopt;
  const std::int64_t times = stride / behind;
  if (times == 1 && at == size) return ChannelPlaces::kSame;
  if (times == 1) return at % size == 0 ? std::optional(ChannelPlaces::kFastest) : std::nullopt;
  if (at % times == 0 && at / times == size) return ChannelPlaces::kSlowest;
  return std::nullopt;
}

// The same elements in C order under another shape.
ChannelRule Regrouped(const MappedOperand& x, const Sizes& to) {
  const Sizes& from = *x.operands()[x.operand()];
  const auto stride = ProductOf(std::span(from).subspan(static_cast<std::size_t>(x.axis()) + 1));
  if (!stride || !IsKnown(*stride) || *stride < 1 || x.Size() < 1) {
    return Stop(StopReason::kSizesUnknown);
  }
  std::int64_t behind = 1;
  for (std::size_t i = to.size(); i-- > 0;) {
    if (to[i] == 0) return Stop(StopReason::kSizesUnknown);
    if (behind == *stride && to[i] == x.Size()) return x.To(static_cast<std::int64_t>(i));
    if (!IsKnown(to[i])) break;
    const auto next = Times(behind, to[i]);
    if (!next) return Stop(StopReason::kSizesUnknown);
    if (*next > *stride) {
      const auto places = PlacesAt(to[i], behind, x.Size(), *stride);
      if (!places) return Stop(StopReason::kAxisLost);
      return x.To(static_cast<std::int64_t>(i), *places);
    }
    behind = *next;
  }
  return Stop(StopReason::kSizesUnknown);
}

}  // namespace

ChannelRule ChannelsOf(const Reshape& reshape, const MappedOperand& x) {
  if (x.operand() != 0) return Stop(StopReason::kNotData);
  if (!x.Rank()) return Stop(StopReason::kSizesUnknown);
  // Axis 0 stays in front of the shape of one example.
  if (reshape.of_example && x.axis() == 0) return x.Same();
  const auto shapes = ShapeOfReshape(reshape, x.operands());
  if (!shapes || !(*shapes)[0]) return Stop(StopReason::kSizesUnknown);
  return Regrouped(x, *(*shapes)[0]);
}

ChannelRule ChannelsOf(const MergeAxes& merge, const MappedOperand& x) {
  const auto rank = x.Rank();
  if (!rank || !ShapeOfMerge(merge, x.operands())) return Stop(StopReason::kSizesUnknown);
  const Sizes& from = *x.operands()[0];
  const std::int64_t first = merge.first < 0 ? merge.first + *rank : merge.first;
  const std::int64_t last = merge.last < 0 ? merge.last + *rank : merge.last;
  if (x.axis() < first) return x.Same();
  if (x.axis() > last) return x.To(x.axis() - (last - first));
  const auto all_one = [&](std::int64_t begin, std::int64_t end) {
    return std::all_of(from.begin() + static_cast<std::ptrdiff_t>(begin),
                       from.begin() + static_cast<std::ptrdiff_t>(end),
                       [](std::int64_t size) { return size == 1; });
  };
  const bool none_before = all_one(first, x.axis());
  const bool none_behind = all_one(x.axis() + 1, last + 1);
  if (none_before && none_behind) return x.To(first);
  if (none_behind) return x.To(first, ChannelPlaces::kFastest);
  if (none_before) return x.To(first, ChannelPlaces::kSlowest);
  return Stop(AllKnown(from) ? StopReason::kAxisLost : StopReason::kSizesUnknown);
}

ChannelRule ChannelsOf(const InsertAxes& insert, const MappedOperand& x) {
  if (x.operand() != 0) return Stop(StopReason::kNotData);
  const auto axes = ByOperand(x.operands(), 1, insert.axes);
  const auto rank = x.Rank();
  if (!rank || !axes || !*axes || !ShapeOfInsert(insert, x.operands())) {
    return Stop(StopReason::kSizesUnknown);
  }
  const auto inserted =
      AxesIn({Axes::Which::kListed, **axes}, *rank + static_cast<std::int64_t>((*axes)->size()));
  if (!inserted) return Stop(StopReason::kSizesUnknown);
  std::int64_t axis = x.axis();
  for (const std::int64_t one : *inserted) axis += one <= axis ? 1 : 0;
  return x.To(axis);
}

ChannelRule ChannelsOf(const DropAxes& drop, const MappedOperand& x) {
  if (x.operand() != 0) return Stop(StopReason::kNotData);
  const auto listed = ByOperand(x.operands(), 1, drop.axes);
  const auto rank = x.Rank();
  if (!rank || !listed || !*listed) return Stop(StopReason::kSizesUnknown);
  const Sizes& from = *x.operands()[0];
  Sizes axes = **listed;
  for (std::int64_t i = 0; (*listed)->empty() && i < *rank; ++i) {
    const std::int64_t size = from[static_cast<std::size_t>(i)];
    if (!IsKnown(size)) return Stop(StopReason::kSizesUnknown);
    if (size == 1) axes.push_back(i);
  }
  const auto dropped = AxesIn({Axes::Which::kListed, axes}, *rank);
  if (!dropped) return Stop(StopReason::kSizesUnknown);
  if (std::binary_search(dropped->begin(), dropped->end(), x.axis())) {
    return Stop(StopReason::kAxisLost);
  }
  return x.To(x.axis() - std::count_if(dropped->begin(), dropped->end(),
                                       [&](std::int64_t one) { return one < x.axis(); }));
}

ChannelRule ChannelsOf(const Transpose& transpose, const MappedOperand& x) {
  const auto rank = x.Rank();
  // Reversed, counted from the other end.
  if (transpose.order.empty()) return x.To(-1 - x.axis());
  const auto count = static_cast<std::int64_t>(transpose.order.size());
  if (rank && *rank != count) return Stop(StopReason::kSizesUnknown);
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t from = transpose.order[static_cast<std::size_t>(i)];
    if (CompareAxes(from, x.axis(), count) == AxisMatch::kSame) return x.To(i);
  }
  return Stop(StopReason::kAxisLost);
}

ChannelRule ChannelsOf(const Tile& tile, const MappedOperand& x) {
  if (x.operand() != 0) return Stop(StopReason::kNotData);
  const auto counts = ByOperand(x.operands(), 1, tile.counts);
  if (!counts || !*counts) return Stop(StopReason::kSizesUnknown);
  const auto rank = static_cast<std::int64_t>((*counts)->size());
  const auto axis = AxisIn(x.axis(), rank);
  if (!axis || (x.Rank() && *x.Rank() != rank)) return Stop(StopReason::kSizesUnknown);
  const bool once = (**counts)[static_cast<std::size_t>(*axis)] == 1;
  return x.To(x.axis(), once ? ChannelPlaces::kSame : ChannelPlaces::kFastest);
}

ChannelRule ChannelsOf(const BroadcastTo& to, const MappedOperand& x) {
  if (x.operand() != 0) return Stop(StopReason::kNotData);
  const auto back = x.FromBack();
  const auto shape = ByOperand(x.operands(), 1, to.shape);
  if (!back || !shape) return Stop(StopReason::kSizesUnknown);
  const bool repeatable = !IsKnown(x.Size()) || x.Size() == 1;
  if (!*shape) return repeatable ? ChannelRule(Stop(StopReason::kSizesUnknown)) : x.To(*back);
  const std::int64_t at = static_cast<std::int64_t>((*shape)->size()) + *back;
  const bool alone = at < 0 || (**shape)[static_cast<std::size_t>(at)] == 1;
  if (repeatable && !alone) {
    return Stop(IsKnown(x.Size()) ? StopReason::kAxisLost : StopReason::kSizesUnknown);
  }
  return x.To(*back);
}

ChannelRule ChannelsOf(const SpaceAndDepth& blocks, const MappedOperand& x) {
  switch (x.Matches(blocks.channel_axis)) {
    case AxisMatch::kSame:
      break;
    case AxisMatch::kDifferent:
      return x.axis() == 0 ? ChannelRule(x.Same()) : Stop(StopReason::kAxisLost);
    case AxisMatch::kUnknown:
      return Stop(StopReason::kSizesUnknown);
  }
  if (blocks.to_space) return Stop(StopReason::kAxisLost);
  return x.To(x.axis(), blocks.order == SpaceAndDepth::Order::kBlockFirst
                            ? ChannelPlaces::kFastest
                            : ChannelPlaces::kSlowest);
}

ChannelRule ChannelsOf(const SpaceAndBatch& blocks, const MappedOperand& x) {
  if (x.operand() != 0) return Stop(StopReason::kNotData);
  const auto block = ByOperand(x.operands(), 1, blocks.block);
  if (!block || !*block || x.axis() < 0) return Stop(StopReason::kSizesUnknown);
  if (x.axis() <= static_cast<std::int64_t>((*block)->size())) return Stop(StopReason::kAxisLost);
  const auto some = [](std::int64_t amount) { return amount != 0; };
  const bool pads = x.operands().Given(2) ||
                    std::any_of(blocks.before.begin(), blocks.before.end(), some) ||
                    std::any_of(blocks.after.begin(), blocks.after.end(), some);
  return x.Same(pads && !blocks.to_space ? ShiftBound::kZerosPad : ShiftBound::kNone);
}

}  // namespace ckpt::network
