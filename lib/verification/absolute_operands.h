// The operands of a step with absolute values, as its bound wants them.
#pragma once

#include <deque>
#include <span>
#include <vector>

#include "verification/bounds.h"

namespace ckpt {

// Integers say axes and places, and stay what they are.
execution::Array Absolute(const execution::Array& array);

// Those that have no negative ones are not copied: behind a rectifier that is the largest array of
// a network. REQUIRES: the operands outlive it.
class AbsoluteOperands {
 public:
  explicit AbsoluteOperands(std::span<const BoundedOperand> operands);
  // Null where it is left out.
  const execution::Array* operator[](std::size_t i) const { return operands_[i]; }

 private:
  std::deque<execution::Array> made_;
  std::vector<const execution::Array*> operands_;
};

}  // namespace ckpt
