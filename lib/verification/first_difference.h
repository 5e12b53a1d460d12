// Where two networks part: the first step whose counterpart yields something else of the same.
#pragma once

#include "verification/confirmation.h"

namespace ckpt {

// Two values of corresponding steps, at the place where they are farthest apart. `id` is a result
// of operation `index` of B.
Result<StepDifference> DescribedStep(const ReferenceSide& a, const WalkedValues& b,
                                     std::size_t index, network::ValueId id, network::ValueId twin,
                                     const network::Sizes& order, const Comparison& found);

class FirstDifference {
 public:
  FirstDifference(ReferenceSide& a, WalkedValues& b, Confirmation& confirmation)
      : a_(a), b_(b), counterparts_(a, b), confirmation_(confirmation) {}

  // A result that was not confirmed; results are noted in the order of the walk.
  void Note(std::size_t index, std::size_t result) { noted_.push_back({index, result}); }
  // The first noted one before operation `index` that differs from its counterpart.
  Result<std::optional<StepDifference>> Before(std::size_t index);
  // Does A's counterpart of the operation yield something else of the same values?
  Result<std::optional<StepDifference>> At(std::size_t index, std::size_t result);

 private:
  std::vector<bool> PendingBefore(std::size_t index) const;

  ReferenceSide& a_;
  WalkedValues& b_;
  Counterparts counterparts_;
  Confirmation& confirmation_;
  std::vector<std::pair<std::size_t, std::size_t>> noted_;
};

}  // namespace ckpt
