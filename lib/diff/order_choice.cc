#include "diff/order_choice.h"

#include <algorithm>
#include <utility>

#include "ckpt/elements.h"
#include "diff/compare.h"
#include "diff/kernel_channels.h"

namespace ckpt {

Direction DirectionOf(const std::set<ShapeEvidence>& kernels, std::optional<Framework> framework_a,
                      std::optional<Framework> framework_b) noexcept {
  const bool last = kernels.contains(ShapeEvidence::kToLast);
  const bool first = kernels.contains(ShapeEvidence::kToFirst);
  if (kernels.contains(ShapeEvidence::kSame) || (last && first)) return Direction::kUnknown;
  if (last) return Direction::kToChannelsLast;
  if (first) return Direction::kToChannelsFirst;
  if (!kernels.contains(ShapeEvidence::kOther)) return Direction::kUnknown;
  if (framework_a) {
    return IsChannelsFirst(*framework_a) ? Direction::kToChannelsFirst : Direction::kToChannelsLast;
  }
  if (!framework_b) return Direction::kUnknown;
  return IsChannelsFirst(*framework_b) ? Direction::kToChannelsLast : Direction::kToChannelsFirst;
}

Result<std::optional<AxisOrder>> OrderChoice::Choose(std::vector<AxisOrder> orders,
                                                     bool by_shape_alone) const {
  const bool only = orders.size() == 1;
  for (AxisOrder& order : orders) {
    if (only && !by_shape_alone) break;
    CKPT_ASSIGN_OR_RETURN(const bool same, HoldSame(a_, *match_.a, b_, *match_.b, order));
    if (same) return std::optional(std::move(order));
  }
  if (orders.empty() || by_shape_alone) return std::optional<AxisOrder>{};
  for (AxisOrder& order : orders) {
    if (only) break;
    CKPT_ASSIGN_OR_RETURN(const bool scaled, DifferByFactors(order));
    if (scaled) return std::optional(std::move(order));
  }
  return std::optional(std::move(orders.front()));
}

Result<bool> OrderChoice::DifferByFactors(const AxisOrder& order) const {
  const TensorInfo& a = a_.manifest().tensors[match_.a->index];
  const TensorInfo& b = b_.manifest().tensors[match_.b->index];
  if (a.shape.rank() < 2 || !IsFloat(a.dtype) || !IsFloat(b.dtype)) return false;
  const double unit = std::max(UnitRoundoff(a.dtype), UnitRoundoff(b.dtype));
  for (const ChannelView& view : OutViews(a.shape, analysis_a_.framework)) {
    // With a few elements a channel any order may fit.
    if (view.channels_per_group * 4 > a.shape.element_count()) continue;
    CKPT_ASSIGN_OR_RETURN(const ChannelFactors factors,
                          FactorsBetween(a_, *match_.a, b_, *match_.b, order, view));
    if (factors.off <= 16 * unit) return true;
  }
  return false;
}

}  // namespace ckpt
