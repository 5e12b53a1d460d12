// Is a value of B one of A's, within its bound?
#pragma once

#include "verification/comparison.h"
#include "verification/counterparts.h"

namespace ckpt {

// A value of A that a value of B is, with its axes in an order.
struct CounterpartMatch {
  network::ValueId twin;
  network::Sizes order = {};
  Comparison comparison = {};
  int factor = 0;  // on the bound: 0 where both are equal, 1, or 5 on A's wide bound
};

class Confirmation {
 public:
  Confirmation(ReferenceSide& a, WalkedValues& b, const execution::Budget& budget)
      : a_(a), b_(b), counterparts_(a, b), budget_(budget) {}

  // By structure, then by content, each within the bound; then the same within the wide bound, or
  // where B rounds nothing, within what A rounds since the values that B's step reads.
  // `id` is a result of operation `index`. A null `bound` bounds nothing: equal values alone.
  Result<std::optional<CounterpartMatch>> Find(std::size_t index, network::ValueId id,
                                               const execution::Array* bound);

  // The kernel's part of a wide bound may hide a wrong constant: where the product reads zeros
  // there is none. True also where the steps are no product and its constants.
  Result<bool> ConstantPartsAgree(std::size_t index, network::ValueId twin,
                                  const network::Sizes& order);
  // Within the wide bound of its counterpart, and only its constant part is not.
  Result<bool> HidesAConstant(std::size_t index, const execution::Array& bound);

 private:
  Result<std::optional<CounterpartMatch>> Within(std::size_t index, network::ValueId id,
                                                 network::ValueId candidate,
                                                 const execution::Array* bound, bool wide);

  Result<std::optional<CounterpartMatch>> WithinRoundingOfA(std::size_t index, network::ValueId id,
                                                            network::ValueId candidate);

  ReferenceSide& a_;
  WalkedValues& b_;
  Counterparts counterparts_;
  const execution::Budget& budget_;
};

}  // namespace ckpt
