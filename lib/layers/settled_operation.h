// An operation as one of its first operand alone: what constant operands decide is part of it.
#pragma once

#include "layers/operation_description.h"

namespace ckpt {

// Unknown where a constant operand is no attribute that the operation has, or is not known.
network::Computation SettledOperation(const ValueUses& uses, const network::Operation& operation,
                                      const ElementsLookup& elements);

}  // namespace ckpt
