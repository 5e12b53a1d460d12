// Channel rules of what joins, cuts, pads, resizes and picks elements.
#include <algorithm>
#include <limits>

#include "network/mapped_operand.h"

namespace ckpt::network {
namespace {

// The place of x's axis in a list of axes, all of them where it is empty: which one it is, none
// where it is not listed. kSizesUnknown where they cannot be compared.
struct Listed {
  bool known = true;
  std::optional<std::size_t> at = {};
};
Listed PlaceIn(const Sizes& axes, const MappedOperand& x, std::optional<std::int64_t> count) {
  Listed listed;
  if (axes.empty()) {
    // The first ones, `count` of them.
    if (x.axis() < 0 && !count) return {false, {}};
    const std::int64_t front = x.axis() < 0 ? x.axis() + *count : x.axis();
    if (front >= 0 && (!count || front < *count)) listed.at = static_cast<std::size_t>(front);
    return listed;
  }
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const AxisMatch match = x.Matches(axes[i]);
    if (match == AxisMatch::kUnknown) return {false, {}};
    if (match == AxisMatch::kSame) listed.at = i;
  }
  return listed;
}

}  // namespace

ChannelRule ChannelsOf(const Concatenate& concatenate, const MappedOperand& x) {
  Passes passes = x.Same();
  switch (x.Matches(concatenate.axis)) {
    case AxisMatch::kUnknown:
      return Stop(StopReason::kSizesUnknown);
    case AxisMatch::kDifferent:
      passes.others = OtherOperands::kSameMap;
      return passes;
    case AxisMatch::kSame:
      break;
  }
  passes.others = OtherOperands::kOwnChannels;
  passes.places = ChannelPlaces::kAmong;
  for (std::size_t i = 0; i < x.operand() && IsKnown(passes.first); ++i) {
    const PartialShape& before = x.operands()[i];
    const auto axis = AxisIn(concatenate.axis, before ? x.RankOf(i).value_or(0) : 0);
    const std::int64_t size = axis ? (*before)[static_cast<std::size_t>(*axis)] : kUnknownSize;
    const auto next = Plus(passes.first, size);
    passes.first = next && IsKnown(size) ? *next : kUnknownSize;
  }
  return passes;
}

ChannelRule ChannelsOf(const Split& split, const MappedOperand& x, std::size_t result) {
  if (x.operand() != 0) return Stop(StopReason::kNotData);
  switch (x.Matches(split.axis)) {
    case AxisMatch::kUnknown:
      return Stop(StopReason::kSizesUnknown);
    case AxisMatch::kDifferent:
      return x.Same();
    case AxisMatch::kSame:
      break;
  }
  Passes passes = x.To(x.axis(), ChannelPlaces::kPart);
  const auto sizes = ByOperand(x.operands(), 1, split.sizes);
  for (std::size_t i = 0; i < result && IsKnown(passes.first); ++i) {
    const bool known = sizes && *sizes && i < (*sizes)->size() && (**sizes)[i] >= 0;
    const auto next = Plus(passes.first, known ? (**sizes)[i] : 0);
    passes.first = known && next ? *next : kUnknownSize;
  }
  return passes;
}

ChannelRule ChannelsOf(const Slice& slice, const MappedOperand& x) {
  if (x.operand() != 0) return Stop(StopReason::kNotData);
  const auto begin = ByOperand(x.operands(), 1, slice.begin);
  const auto end = ByOperand(x.operands(), 2, slice.end);
  const auto axes = ByOperand(x.operands(), 3, slice.axes);
  const auto step = ByOperand(x.operands(), 4, slice.step);
  const bool known = begin && *begin && end && *end && axes && *axes && step && *step;
  if (!known) return Stop(StopReason::kSizesUnknown);
  const Sizes &starts = **begin, &stops = **end, &steps = **step;
  const Listed listed = PlaceIn(**axes, x, static_cast<std::int64_t>(starts.size()));
  const bool comparable = listed.known && (!(*axes)->empty() || x.axis() >= 0);
  if (!comparable) return Stop(StopReason::kSizesUnknown);
  if (!listed.at) return x.Same();
  const std::size_t i = *listed.at;
  if (i >= starts.size() || i >= stops.size() || (!steps.empty() && i >= steps.size())) {
    return Stop(StopReason::kSizesUnknown);
  }
  const std::int64_t pace = steps.empty() ? 1 : steps[i];
  if (starts[i] == 0 && stops[i] == Slice::kToEnd && pace == 1) return x.Same();
  if (!IsKnown(x.Size()) || pace == 0) return Stop(StopReason::kSizesUnknown);
  const Stretch stretch = StretchOf(x.Size(), starts[i], stops[i], pace);
  if (stretch.count == x.Size() && pace == 1) return x.Same();
  Passes passes = x.To(x.axis(), ChannelPlaces::kPart);
  passes.first = stretch.begin;
  passes.step = pace;
  return passes;
}

namespace {

// Amounts of a Pad, as far as they are known.
struct Amounts {
  Sizes before, after, axes;
  bool zero_value = true;
};
std::optional<Amounts> AmountsOf(const Pad& pad, const OperandShapes& operands) {
  const auto axes = ByOperand(operands, 3, pad.axes);
  if (!axes || !*axes) return std::nullopt;
  Amounts amounts = {pad.before, pad.after, **axes, pad.value == 0};
  if (operands.Given(1)) {
    const auto all = operands.Integers(1);
    if (!all || !*all || (*all)->size() % 2 != 0) return std::nullopt;
    const auto middle = (*all)->begin() + static_cast<std::ptrdiff_t>((*all)->size() / 2);
    amounts.before.assign((*all)->begin(), middle);
    amounts.after.assign(middle, (*all)->end());
  }
  if (operands.Given(2)) {
    const auto& value = operands.Elements(2);
    amounts.zero_value = value && value->size() == 1 && value->front() == 0;
  }
  if (amounts.before.size() != amounts.after.size()) return std::nullopt;
  return amounts;
}

}  // namespace

ChannelRule ChannelsOf(const Pad& pad, const MappedOperand& x) {
  if (x.operand() != 0) return Stop(StopReason::kNotData);
  const auto amounts = AmountsOf(pad, x.operands());
  if (!amounts) return Stop(StopReason::kSizesUnknown);
  const auto count = static_cast<std::int64_t>(amounts->before.size());
  const Listed listed = PlaceIn(amounts->axes, x, count);
  if (!listed.known) return Stop(StopReason::kSizesUnknown);
  if (listed.at) {
    if (*listed.at >= amounts->before.size()) return Stop(StopReason::kSizesUnknown);
    const bool moved = amounts->before[*listed.at] != 0 || amounts->after[*listed.at] != 0;
    if (moved) return Stop(StopReason::kAxisLost);
  }
  const auto adds = [](std::int64_t amount) { return amount > 0; };
  const bool padded = std::any_of(amounts->before.begin(), amounts->before.end(), adds) ||
                      std::any_of(amounts->after.begin(), amounts->after.end(), adds);
  if (!padded || pad.mode != Pad::Mode::kConstant) return x.Same();
  if (!amounts->zero_value) return Stop(StopReason::kOffsets);
  return x.Same(ShiftBound::kZerosPad);
}

namespace {

// Is y the x of an axis along which neither size nor scale changes?
bool KeepsAxis(const Resize& resize, const OperandShapes& operands, std::size_t at,
               std::int64_t size) {
  const bool shifts = resize.mode == Resize::Mode::kNearest &&
                      resize.place == Resize::Place::kHalfPixelNearest &&
                      resize.rounding != Resize::Rounding::kFloor;
  if (shifts) return false;
  Sizes sizes = resize.sizes;
  std::vector<double> scales = resize.scales;
  if (operands.Given(1)) {
    const auto integers = operands.Integers(1);
    const bool are_sizes = operands.IsInteger(1);
    sizes = are_sizes && integers && *integers ? **integers : Sizes{};
    scales =
        are_sizes ? std::vector<double>() : operands.Elements(1).value_or(std::vector<double>());
  }
  if (at < sizes.size()) return IsKnown(size) && sizes[at] == size;
  return at < scales.size() && scales[at] == 1;
}

}  // namespace

ChannelRule ChannelsOf(const Resize& resize, const MappedOperand& x) {
  if (x.operand() != 0) return Stop(StopReason::kNotData);
  const Listed listed = PlaceIn(resize.axes, x, x.Rank());
  if (!listed.known) return Stop(StopReason::kSizesUnknown);
  // The weights of every mode sum to one.
  if (!listed.at || KeepsAxis(resize, x.operands(), *listed.at, x.Size())) return x.Same();
  return Stop(StopReason::kMixes);
}

ChannelRule ChannelsOf(const Gather& gather, const MappedOperand& x) {
  if (x.operand() != 0) return Stop(StopReason::kNotData);
  const auto rank = x.Rank(), indices = x.RankOf(1);
  if (!rank || !indices) return Stop(StopReason::kSizesUnknown);
  const auto axis = AxisIn(gather.axis, *rank);
  const bool batch_fits =
      gather.batch_axes >= 0 && axis && gather.batch_axes <= *axis && gather.batch_axes <= *indices;
  if (!batch_fits) return Stop(StopReason::kSizesUnknown);
  if (x.axis() == *axis) return Stop(StopReason::kAxisLost);
  if (x.axis() < *axis) return x.Same();
  return x.To(x.axis() + *indices - 1 - gather.batch_axes);
}

ChannelRule ChannelsOf(const GatherNd& gather, const MappedOperand& x) {
  if (x.operand() != 0) return Stop(StopReason::kNotData);
  const PartialShape& indices = x.operands()[1];
  const auto rank = x.Rank();
  const bool known = rank && indices && !indices->empty() && indices->back() >= 0 &&
                     indices->back() <= *rank && gather.batch_axes >= 0 &&
                     gather.batch_axes <= *rank - indices->back();
  if (!known) return Stop(StopReason::kSizesUnknown);
  if (x.axis() < gather.batch_axes) return x.Same();
  const std::int64_t used = gather.batch_axes + indices->back();
  if (x.axis() < used) return Stop(StopReason::kAxisLost);
  return x.To(x.axis() - used + static_cast<std::int64_t>(indices->size()) - 1);
}

// The axes behind those that the indices choose from are whole slices.
ChannelRule ChannelsOf(const ScatterNd& scatter, const MappedOperand& x) {
  if (x.operand() == 1) return Stop(StopReason::kNotData);
  const PartialShape& indices = x.operands()[1];
  const auto rank = x.Rank(), data = x.RankOf(0);
  const bool known = rank && data && indices && !indices->empty() && indices->back() >= 0 &&
                     indices->back() <= *data;
  if (!known) return Stop(StopReason::kSizesUnknown);
  const bool updates = x.operand() == 2;
  const std::int64_t chosen = indices->back();
  const std::int64_t own = updates ? static_cast<std::int64_t>(indices->size()) - 1 : chosen;
  if (x.axis() < own) return Stop(StopReason::kMixes);
  Passes passes = x.To(x.axis() - own + chosen);
  passes.others = scatter.add ? OtherOperands::kSameScale : OtherOperands::kSameMap;
  if (scatter.add && updates) passes.shift = ShiftBound::kSums;
  return passes;
}

ChannelRule ChannelsOf(const GatherElements& gather, const MappedOperand& x) {
  if (x.operand() != 0) return Stop(StopReason::kNotData);
  const PartialShape& indices = x.operands()[1];
  const auto rank = x.Rank();
  if (!rank || !indices || static_cast<std::int64_t>(indices->size()) != *rank) {
    return Stop(StopReason::kSizesUnknown);
  }
  if (x.Matches(gather.axis) == AxisMatch::kSame) return Stop(StopReason::kAxisLost);
  const std::int64_t taken = (*indices)[static_cast<std::size_t>(x.axis())];
  if (!IsKnown(taken) || !IsKnown(x.Size())) return Stop(StopReason::kSizesUnknown);
  return x.To(x.axis(), taken == x.Size() ? ChannelPlaces::kSame : ChannelPlaces::kPart);
}

}  // namespace ckpt::network
