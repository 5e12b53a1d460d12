// Channel rules of what sums over windows and of what multiplies by kernels.
#include <algorithm>
#include <string>
#include <vector>

#include "network/mapped_operand.h"

namespace ckpt::network {
namespace {

// Sizes along the spatial axes of data, those of no known rank being none.
Sizes SpatialSizes(const PartialShape& data, std::int64_t channel_axis) {
  Sizes sizes;
  if (!data) return sizes;
  const auto rank = static_cast<std::int64_t>(data->size());
  for (std::int64_t axis = 1; axis < rank; ++axis) {
    if (CompareAxes(axis, channel_axis, rank) == AxisMatch::kSame) continue;
    sizes.push_back((*data)[static_cast<std::size_t>(axis)]);
  }
  return sizes;
}

// The spatial sizes of a kernel; none where they are not known.
Sizes SpatialKernelSizes(const PartialShape& kernel, KernelLayout layout) {
  if (!kernel || kernel->size() < 2) return {};
  const bool first = layout == KernelLayout::kOutInSpatial || layout == KernelLayout::kInOutSpatial;
  return first ? Sizes(kernel->begin() + 2, kernel->end())
               : Sizes(kernel->begin(), kernel->end() - 2);
}

// Does a "same" rule pad data of these sizes? Assumed where it is not known.
bool SamePads(const Padding& padding, const Sizes& stride, const Sizes& dilation,
              const Sizes& window, const Sizes& data, bool window_known) {
  if (!window_known) return true;
  // Of data with other axes beside (the steps of a TimeDistributed) nothing says whose size is
  // whose.
  const bool comparable = data.size() == window.size();
  for (std::size_t i = 0; i < window.size(); ++i) {
    if (window[i] == 1) continue;
    const std::int64_t step = Along(stride, i, 1), spread = Along(dilation, i, 1);
    const bool known = comparable && data[i] >= 0 && window[i] > 0;
    if (!known || step < 1 || spread < 1) return true;
    // Of the two rules this one has the odd element before the data: none there, none at all.
    Padding lower = padding;
    lower.rule = PaddingRule::kSameLower;
    const auto windows = WindowsAlong(data[i], window[i], step, spread, lower, i, false);
    if (!windows || windows->before != 0) return true;
  }
  return false;
}

bool MayPad(const Padding& padding, const Sizes& stride, const Sizes& dilation, const Sizes& window,
            const Sizes& data, bool window_known) {
  const auto some = [](std::int64_t amount) { return amount != 0; };
  if (padding.rule == PaddingRule::kExplicit) {
    return std::any_of(padding.before.begin(), padding.before.end(), some) ||
           std::any_of(padding.after.begin(), padding.after.end(), some);
  }
  return SamePads(padding, stride, dilation, window, data, window_known);
}

}  // namespace

ChannelRule ChannelsOf(const Convolution& convolution, const MappedOperand& x) {
  if (x.operand() != 0) return Stop(StopReason::kParameter);
  switch (x.Matches(convolution.channel_axis)) {
    case AxisMatch::kSame:
      break;
    case AxisMatch::kDifferent:
      return Stop(StopReason::kMixes);
    case AxisMatch::kUnknown:
      return Stop(StopReason::kSizesUnknown);
  }
  const PartialShape& kernel = x.operands()[1];
  const bool pads =
      MayPad(convolution.padding, convolution.stride, convolution.dilation,
             SpatialKernelSizes(kernel, convolution.layout),
             SpatialSizes(x.operands()[0], convolution.channel_axis), kernel.has_value());
  return Absorbed{1, pads ? ShiftBound::kZerosPad : ShiftBound::kNone};
}

ChannelRule ChannelsOf(const TransposedConvolution& convolution, const MappedOperand& x) {
  if (x.operand() == 3) return Stop(StopReason::kNotData);
  if (x.operand() != 0) return Stop(StopReason::kParameter);
  switch (x.Matches(convolution.channel_axis)) {
    case AxisMatch::kSame:
      return Absorbed{1, ShiftBound::kBorderTaps};
    case AxisMatch::kDifferent:
      return Stop(StopReason::kMixes);
    case AxisMatch::kUnknown:
      break;
  }
  return Stop(StopReason::kSizesUnknown);
}

ChannelRule ChannelsOf(const Pool& pool, const MappedOperand& x) {
  const AxisMatch match = x.Matches(pool.channel_axis);
  if (match == AxisMatch::kUnknown) return Stop(StopReason::kSizesUnknown);
  if (match == AxisMatch::kDifferent && x.axis() != 0) return Stop(StopReason::kMixes);
  switch (pool.kind) {
    case Pool::Kind::kMaximum:
      return x.Same(ShiftBound::kNone, ScaleBound::kTakesMaximum);
    case Pool::Kind::kNorm2:
      return x.Same(ShiftBound::kTakesNorm, ScaleBound::kTakesNorm);
    case Pool::Kind::kAverage:
      break;
  }
  const bool counts =
      pool.count_padding && MayPad(pool.padding, pool.stride, pool.dilation, pool.size,
                                   SpatialSizes(x.operands()[0], pool.channel_axis), true);
  return x.Same(counts ? ShiftBound::kZerosPad : ShiftBound::kNone);
}

ChannelRule ChannelsOf(const MatrixProduct& product, const MappedOperand& x) {
  const bool left = x.operand() == 0;
  const auto back = x.FromBack();
  const auto other_rank = x.RankOf(left ? 1 : 0);
  if (!back) return Stop(StopReason::kSizesUnknown);
  const bool vector = x.Rank() == 1;
  const bool turned = left ? product.transpose_a : product.transpose_b;
  const std::int64_t summed = vector || left != turned ? -1 : -2;
  if (*back == summed) {
    const bool bias = left && other_rank && *other_rank <= 2;
    return Absorbed{left ? std::size_t{1} : std::size_t{0},
                    bias ? ShiftBound::kNone : ShiftBound::kSums};
  }
  if (!other_rank) return Stop(StopReason::kSizesUnknown);
  Passes passes = x.Same(ShiftBound::kSums);
  // The rows of the left one and the columns of the right one, unless the other is a vector.
  const std::int64_t behind = *other_rank == 1 ? 1 : 0;
  if (*back >= -2) {
    passes.axis = left ? -2 + behind : -1;
    return passes;
  }
  // Other axes broadcast.
  const bool broadcast = *other_rank + *back >= 0 && x.Size() == 1;
  if (broadcast) return Stop(StopReason::kAxisLost);
  if (!IsKnown(x.Size())) return Stop(StopReason::kSizesUnknown);
  passes.axis = *back + behind;
  return passes;
}

namespace {

// The terms of "ab,bc->ac", the result last; empty where they are none, or where one has "...".
std::vector<std::string> TermsOf(const std::string& equation) {
  const std::size_t arrow = equation.find("->");
  if (arrow == std::string::npos || equation.find('.') != std::string::npos) return {};
  std::vector<std::string> terms(1);
  for (std::size_t i = 0; i < arrow; ++i) {
    if (equation[i] == ',') {
      terms.emplace_back();
    } else if (equation[i] != ' ') {
      terms.back() += equation[i];
    }
  }
  std::string result = equation.substr(arrow + 2);
  std::erase(result, ' ');
  terms.push_back(std::move(result));
  return terms;
}

}  // namespace

ChannelRule ChannelsOf(const Einsum& einsum, const MappedOperand& x) {
  const std::vector<std::string> terms = TermsOf(einsum.equation);
  if (terms.size() != x.operands().size() + 1) return Stop(StopReason::kSizesUnknown);
  const std::string &own = terms[x.operand()], &result = terms.back();
  const auto axis = AxisIn(x.axis(), static_cast<std::int64_t>(own.size()));
  if (!axis) return Stop(StopReason::kSizesUnknown);
  const char letter = own[static_cast<std::size_t>(*axis)];
  if (std::count(own.begin(), own.end(), letter) != 1) return Stop(StopReason::kMixes);
  if (const std::size_t at = result.find(letter); at != std::string::npos) {
    Passes passes = x.Same(ShiftBound::kSums);
    passes.axis = static_cast<std::int64_t>(at);
    return passes;
  }
  for (std::size_t i = 0; i + 1 < terms.size(); ++i) {
    const bool other = i != x.operand() && terms[i].find(letter) != std::string::npos;
    if (other) return Absorbed{i, ShiftBound::kSums};
  }
  return Stop(StopReason::kMixes);
}

ChannelRule ChannelsOf(const Recurrent&, const MappedOperand& x) {
  if (x.operand() != 0) return Stop(StopReason::kParameter);
  switch (CompareAxes(x.axis(), -1, 3)) {
    case AxisMatch::kSame:
      return Absorbed{1};
    case AxisMatch::kDifferent:
      return Stop(StopReason::kNotLinear);
    case AxisMatch::kUnknown:
      break;
  }
  return Stop(StopReason::kSizesUnknown);
}

}  // namespace ckpt::network
