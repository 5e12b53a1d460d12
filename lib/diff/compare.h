// Compares the values of two tensors by reading both streams in lockstep, in bounded memory.
#pragma once

#include "ckpt/axis_order.h"
#include "ckpt/checkpoint.h"
#include "diff/element_comparison.h"

namespace ckpt {

struct TensorComparison {
  ElementStatistics statistics;
  bool same_bits = false;  // one type, and every byte is the same
  bool as_bytes = false;   // a type that is not computed with: only `differing` counts
  std::uint64_t bytes_read = 0;
};

// Are the elements of the two comparable at all: as numbers, or as bytes of one type?
bool CanCompare(const TensorInfo& a, const TensorInfo& b) noexcept;

// REQUIRES: CanCompare, the same number of elements. Passes on read errors; kCorrupt where a stream
// ends before the other. Bytes of one type are compared as such first and looked into only where
// they differ. The elements of B are taken in the order of `order_of_b`, where that is given: only
// for types of whole bytes. Pure: may run for several tensors at once.
Result<TensorComparison> CompareTensors(const Checkpoint& a, TensorId id_a, const Checkpoint& b,
                                        TensorId id_b, Tolerance tolerance,
                                        const AxisOrder* order_of_b = nullptr);

// Are all elements the same numbers, B's in this order? Stops at the first that is not. REQUIRES:
// both real, of whole bytes. Errors as above.
Result<bool> HoldSame(const Checkpoint& a, TensorId id_a, const Checkpoint& b, TensorId id_b,
                      const AxisOrder& order_of_b);

}  // namespace ckpt
