// A number that tells the values of a tensor whatever their order.
#pragma once

#include <compare>
#include <cstdint>

#include "ckpt/checkpoint.h"

namespace ckpt {

// Sums of two hashes of every element as a double: equal for tensors that hold the same values in
// any order and in any floating type that holds them exactly. +0 counts as -0, one NaN as another.
struct Fingerprint {
  std::uint64_t sum = 0, other_sum = 0;
  auto operator<=>(const Fingerprint&) const = default;
};

// Reads the tensor once, in bounded memory. REQUIRES: IsReal(dtype). Passes on read errors.
Result<Fingerprint> FingerprintOf(const Checkpoint& checkpoint, TensorId id);

}  // namespace ckpt
