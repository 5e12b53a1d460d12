// Random instances of every operation, to hold its channel rule against.
#pragma once

#include <random>
#include <string>
#include <vector>

#include "tests/network/reference_operations.h"

namespace ckpt::network::reference {

struct Case {
  Computation computation;
  std::vector<Array> operands;  // integers and truth values are of their kind
  std::size_t result = 0;
};

// A fixed seed draws the same cases: several of each function, mode and arrangement of each
// operation. Does not compile without every alternative of Computation.
std::vector<Case> DrawCases(unsigned seed);

// "Pool", "Unary relu", "Reduction 3": what is told apart when cases are counted.
std::string KindOf(const Computation& computation);

}  // namespace ckpt::network::reference
