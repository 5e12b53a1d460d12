// A place where a value of a network is read.
#pragma once

#include <cstddef>

#include "ckpt/network/network.h"

namespace ckpt::network {

struct OperandPlace {
  OperationId operation;
  std::size_t operand = 0;
};

}  // namespace ckpt::network
