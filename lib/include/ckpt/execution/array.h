// A value of a network while it runs.
#pragma once

#include <vector>

#include "ckpt/network/network.h"

namespace ckpt::execution {

// Elements in C order; integers and booleans (0 and 1) as doubles, exact below 2^53.
struct Array {
  network::Sizes shape = {};
  std::vector<double> elements = {0.0};
  network::ElementKind kind = network::ElementKind::kReal;
};

}  // namespace ckpt::execution
