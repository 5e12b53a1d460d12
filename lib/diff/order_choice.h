// Which of the possible orders of axes two tensors are held in.
#pragma once

#include <optional>
#include <set>
#include <vector>

#include "ckpt/axis_order.h"
#include "ckpt/batch_norm.h"
#include "diff/match.h"
#include "diff/possible_orders.h"

namespace ckpt {

// By what the shapes of kernels say; kUnknown where they disagree or say too little.
Direction DirectionOf(const std::set<ShapeEvidence>& kernels, std::optional<Framework> framework_a,
                      std::optional<Framework> framework_b) noexcept;

class OrderChoice {
 public:
  // `match` has both tensors; all are kept by reference.
  OrderChoice(const Checkpoint& a, const Analysis& analysis_a, const Checkpoint& b,
              const Match& match)
      : a_(a), analysis_a_(analysis_a), b_(b), match_(match) {}

  // The first order in which both hold the same, or else the same but for a factor of each output
  // channel, as a fold leaves it; else the likeliest, which is the first. `by_shape_alone`: no
  // framework has these orders, and only one that holds the same is taken.
  Result<std::optional<AxisOrder>> Choose(std::vector<AxisOrder> orders, bool by_shape_alone) const;

 private:
  Result<bool> DifferByFactors(const AxisOrder& order) const;

  const Checkpoint& a_;
  const Analysis& analysis_a_;
  const Checkpoint& b_;
  const Match& match_;
};

}  // namespace ckpt
