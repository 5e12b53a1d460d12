#include "ckpt/network/channel_rules.h"

#include <algorithm>
#include <utility>

#include "network/function_bounds.h"
#include "network/mapped_operand.h"

namespace ckpt::network {
namespace {

// One overload an alternative; one without does not compile.
class RuleAt {
 public:
  RuleAt(const MappedOperand& x, std::size_t result) : x_(x), result_(result) {}

  ChannelRule operator()(const Convolution& c) const { return ChannelsOf(c, x_); }
  ChannelRule operator()(const TransposedConvolution& c) const { return ChannelsOf(c, x_); }
  ChannelRule operator()(const MatrixProduct& c) const { return ChannelsOf(c, x_); }
  ChannelRule operator()(const Einsum& c) const { return ChannelsOf(c, x_); }
  ChannelRule operator()(const BatchNormalization& c) const;
  ChannelRule operator()(const LayerNormalization&) const { return Normalized(); }
  ChannelRule operator()(const GroupNormalization&) const { return Normalized(); }
  ChannelRule operator()(const LocalResponseNormalization&) const { return Normalized(); }
  ChannelRule operator()(const Unary& c) const { return Bounded(BoundsOf(c)); }
  ChannelRule operator()(const Binary& c) const;
  ChannelRule operator()(const Select&) const;
  ChannelRule operator()(const Pool& c) const { return ChannelsOf(c, x_); }
  ChannelRule operator()(const Reduction& c) const;
  ChannelRule operator()(const ArgExtreme&) const { return Stop(StopReason::kNotLinear); }
  ChannelRule operator()(const Softmax&) const { return Normalized(); }
  ChannelRule operator()(const CumulativeSum& c) const;
  ChannelRule operator()(const Reshape& c) const { return ChannelsOf(c, x_); }
  ChannelRule operator()(const MergeAxes& c) const { return ChannelsOf(c, x_); }
  ChannelRule operator()(const InsertAxes& c) const { return ChannelsOf(c, x_); }
  ChannelRule operator()(const DropAxes& c) const { return ChannelsOf(c, x_); }
  ChannelRule operator()(const Transpose& c) const { return ChannelsOf(c, x_); }
  ChannelRule operator()(const Concatenate& c) const { return ChannelsOf(c, x_); }
  ChannelRule operator()(const Split& c) const { return ChannelsOf(c, x_, result_); }
  ChannelRule operator()(const Slice& c) const { return ChannelsOf(c, x_); }
  ChannelRule operator()(const Pad& c) const { return ChannelsOf(c, x_); }
  ChannelRule operator()(const Resize& c) const { return ChannelsOf(c, x_); }
  ChannelRule operator()(const Gather& c) const { return ChannelsOf(c, x_); }
  ChannelRule operator()(const GatherNd& c) const { return ChannelsOf(c, x_); }
  ChannelRule operator()(const ScatterNd& c) const { return ChannelsOf(c, x_); }
  ChannelRule operator()(const GatherElements& c) const { return ChannelsOf(c, x_); }
  ChannelRule operator()(const OneHot&) const { return Stop(StopReason::kNotData); }
  ChannelRule operator()(const Cast& c) const {
    return c.to == ElementKind::kReal ? ChannelRule(x_.Same()) : Stop(StopReason::kIntegers);
  }
  ChannelRule operator()(const network::ShapeOf&) const { return Stop(StopReason::kNotData); }
  ChannelRule operator()(const Fill&) const { return Stop(StopReason::kNotData); }
  ChannelRule operator()(const Range&) const { return Stop(StopReason::kNotData); }
  ChannelRule operator()(const BroadcastTo& c) const { return ChannelsOf(c, x_); }
  ChannelRule operator()(const Tile& c) const { return ChannelsOf(c, x_); }
  ChannelRule operator()(const SpaceAndDepth& c) const { return ChannelsOf(c, x_); }
  ChannelRule operator()(const SpaceAndBatch& c) const { return ChannelsOf(c, x_); }
  ChannelRule operator()(const Recurrent& c) const { return ChannelsOf(c, x_); }
  ChannelRule operator()(const Quantize&) const { return Quantized(StopReason::kNotLinear); }
  ChannelRule operator()(const Dequantize&) const { return Quantized(StopReason::kIntegers); }
  ChannelRule operator()(const Unknown&) const { return Stop(StopReason::kUnknown); }

 private:
  bool IsFirst() const { return x_.operand() == 0; }
  ChannelRule Normalized() const {
    return Stop(IsFirst() ? StopReason::kNormalizes : StopReason::kParameter);
  }
  ChannelRule Quantized(StopReason reason) const {
    return Stop(IsFirst() ? reason : StopReason::kParameter);
  }
  ChannelRule Bounded(const Bounds& bounds) const {
    if (!bounds.passes) return Stop(bounds.stop);
    return x_.Same(bounds.shift, bounds.scale);
  }
  // The axis of what the operands from `begin` on broadcast to.
  ChannelRule Broadcast(Passes passes, std::size_t begin) const;

  MappedOperand x_;
  std::size_t result_;
};

ChannelRule RuleAt::operator()(const BatchNormalization& norm) const {
  if (!IsFirst()) return Stop(StopReason::kParameter);
  if (norm.of_batch) return Stop(StopReason::kNormalizes);
  switch (x_.Matches(norm.axis)) {
    case AxisMatch::kSame:
      return Absorbed{1};
    case AxisMatch::kDifferent:
      return Stop(StopReason::kOffsets);
    case AxisMatch::kUnknown:
      break;
  }
  return Stop(StopReason::kSizesUnknown);
}

ChannelRule RuleAt::Broadcast(Passes passes, std::size_t begin) const {
  const auto back = x_.FromBack();
  if (!back) return Stop(StopReason::kSizesUnknown);
  std::int64_t rank = 0;
  bool known = true;
  for (std::size_t i = begin; i < x_.operands().size(); ++i) {
    if (!x_.operands().Given(i)) continue;
    const auto other = x_.RankOf(i);
    if (!other) {
      known = false;
      continue;
    }
    rank = std::max(rank, *other);
    if (x_.Size() != 1 || *other + *back < 0) continue;
    const std::int64_t size = (*x_.operands()[i])[static_cast<std::size_t>(*other + *back)];
    if (IsKnown(size) && size != 1) return Stop(StopReason::kAxisLost);
  }
  passes.axis = known ? *back + rank : *back;
  return passes;
}

ChannelRule RuleAt::operator()(const Binary& binary) const {
  const BinaryBounds bounds = BoundsOf(binary.function, IsFirst());
  if (!bounds.own.passes) return Stop(bounds.own.stop);
  Passes passes = x_.Same(bounds.own.shift, bounds.own.scale);
  passes.others = bounds.others;
  return Broadcast(passes, 0);
}

ChannelRule RuleAt::operator()(const Select&) const {
  if (IsFirst()) return Stop(StopReason::kNotData);
  Passes passes = x_.Same();
  passes.others = OtherOperands::kSameMap;
  return Broadcast(passes, 0);
}

ChannelRule RuleAt::operator()(const CumulativeSum& sum) const {
  switch (x_.Matches(sum.axis)) {
    case AxisMatch::kSame:
      return Stop(StopReason::kMixes);
    case AxisMatch::kDifferent:
      return x_.Same(ShiftBound::kSums);
    case AxisMatch::kUnknown:
      break;
  }
  return Stop(StopReason::kSizesUnknown);
}

// Where the axis is in the result of a reduction over these, which are sorted; absent where it is
// one of them or cannot be compared.
std::optional<std::int64_t> Kept(const MappedOperand& x, const Sizes& reduced, bool keep) {
  std::int64_t axis = x.axis();
  for (const std::int64_t other : reduced) {
    if (x.Matches(other) != AxisMatch::kDifferent) return std::nullopt;
    if (keep) continue;
    if (x.axis() >= 0 && other < x.axis()) --axis;
    if (x.axis() < 0 && other > x.axis()) ++axis;
  }
  return axis;
}

ChannelRule RuleAt::operator()(const Reduction& reduction) const {
  if (!IsFirst()) return Stop(StopReason::kNotData);
  const Bounds bounds = BoundsOf(reduction.kind);
  if (!bounds.passes) return Stop(bounds.stop);
  Axes axes = reduction.axes;
  const auto listed = ByOperand(x_.operands(), 1, axes.listed);
  if (!listed || !*listed) return Stop(StopReason::kSizesUnknown);
  if (x_.operands().Given(1)) axes.which = Axes::Which::kListed;
  axes.listed = **listed;
  const bool none = axes.which == Axes::Which::kListed && axes.listed.empty();
  if (none && reduction.none_is_identity) return x_.Same();
  if (none || axes.which == Axes::Which::kAll) return Stop(StopReason::kMixes);
  Passes passes = x_.Same(bounds.shift, bounds.scale);
  if (const auto rank = x_.Rank()) {
    const auto sorted = AxesIn(axes, *rank);
    if (!sorted) return Stop(StopReason::kSizesUnknown);
    axes = {Axes::Which::kListed, *sorted};
  } else if (axes.which == Axes::Which::kSpatial) {
    // Counted its own way, the channels' axis stays the one it is.
    const bool same = x_.axis() == axes.channel_axis && (x_.axis() == 1 || x_.axis() == -1);
    return same ? ChannelRule(passes) : Stop(StopReason::kSizesUnknown);
  } else {
    std::sort(axes.listed.begin(), axes.listed.end());
    axes.listed.erase(std::unique(axes.listed.begin(), axes.listed.end()), axes.listed.end());
  }
  const auto axis = Kept(x_, axes.listed, reduction.keep);
  if (!axis) return Stop(x_.Rank() ? StopReason::kMixes : StopReason::kSizesUnknown);
  passes.axis = *axis;
  return passes;
}

// Along which axis of the result the parameters act; one overload an alternative without them, too.
struct AxisOfParameters {
  using Axis = std::optional<std::int64_t>;
  Axis operator()(const Convolution& c) const { return c.channel_axis; }
  Axis operator()(const TransposedConvolution& c) const { return c.channel_axis; }
  Axis operator()(const MatrixProduct&) const { return -1; }
  Axis operator()(const BatchNormalization& c) const { return c.axis; }
  Axis operator()(const LayerNormalization& c) const {
    return c.axes.size() == 1 ? Axis(c.axes[0]) : std::nullopt;
  }
  Axis operator()(const GroupNormalization& c) const { return c.channel_axis; }
  template <class Other>
  Axis operator()(const Other&) const {
    return std::nullopt;
  }
};

}  // namespace

AxisMatch CompareAxes(std::int64_t a, std::int64_t b, std::optional<std::int64_t> rank) noexcept {
  if (a == b) return AxisMatch::kSame;
  if ((a < 0) == (b < 0)) return AxisMatch::kDifferent;
  if (!rank) return AxisMatch::kUnknown;
  // One counts from the front, the other from the back.
  const std::int64_t front = std::max(a, b), back = std::min(a, b);
  return back + *rank == front ? AxisMatch::kSame : AxisMatch::kDifferent;
}

ChannelRule RuleOf(const Computation& computation, std::size_t operand,
                   std::span<const OperandShape> operands, std::int64_t axis, std::size_t result) {
  if (std::holds_alternative<Unknown>(computation)) return Stop(StopReason::kUnknown);
  if (operand >= operands.size() || !operands[operand].given) return Stop(StopReason::kNotData);
  const MappedOperand x(operand, operands, axis);
  if (!x.IsThere()) return Stop(StopReason::kAxisLost);
  const ChannelRule rule = std::visit(RuleAt(x, result), computation);
  const auto& kind = operands[operand].kind;
  const bool real = !kind || *kind == ElementKind::kReal;
  return real || std::holds_alternative<Stops>(rule) ? rule : Stop(StopReason::kIntegers);
}

OperandRule RuleBehind(const Computation& computation, std::size_t operand,
                       std::span<const OperandShape> operands, std::int64_t result_axis) {
  const auto shapes = ResultShapes(computation, operands, 1);
  if (!shapes) return {result_axis, Stop(StopReason::kSizesUnknown)};
  std::optional<std::int64_t> result_rank, rank;
  if ((*shapes)[0]) result_rank = static_cast<std::int64_t>((*shapes)[0]->size());
  if (operand < operands.size() && operands[operand].given && operands[operand].shape) {
    rank = static_cast<std::int64_t>(operands[operand].shape->size());
  }
  Sizes candidates = {result_axis};
  for (std::int64_t axis = 0; rank && axis < *rank; ++axis) candidates.push_back(axis);
  std::optional<OperandRule> found, stopped;
  for (const std::int64_t axis : candidates) {
    const OperandRule one = {axis, RuleOf(computation, operand, operands, axis)};
    const auto* passes = std::get_if<Passes>(&one.rule);
    if (passes && CompareAxes(passes->axis, result_axis, result_rank) == AxisMatch::kSame) {
      const bool better = !found || (std::get<Passes>(found->rule).places != ChannelPlaces::kSame &&
                                     passes->places == ChannelPlaces::kSame);
      if (better) found = one;
    } else if (!stopped && std::holds_alternative<Stops>(one.rule)) {
      stopped = one;
    } else if (!stopped && std::holds_alternative<Absorbed>(one.rule)) {
      stopped = OperandRule{axis, Stop(StopReason::kMixes)};
    }
  }
  if (found) return *found;
  return stopped.value_or(OperandRule{result_axis, Stop(StopReason::kAxisLost)});
}

std::optional<std::int64_t> ParameterAxis(const Computation& computation) {
  return std::visit(AxisOfParameters(), computation);
}

}  // namespace ckpt::network
