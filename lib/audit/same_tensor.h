// Are two tensors of two checkpoints equal? By stored checksums where both have one, else by bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "ckpt/checkpoint.h"

namespace ckpt::audit {

// Equal element by element; NaN equals NaN.
bool SameValues(const std::vector<double>& a, const std::vector<double>& b);

class TensorComparison {
 public:
  TensorComparison(const Checkpoint& a, const Checkpoint& b) : a_(a), b_(b) {}

  // Nothing if that cannot be said: data absent or unreadable (see failure()), or the bytes that
  // one audit compares are used up. REQUIRES: same dtype and shape.
  std::optional<bool> Same(TensorId of_a, TensorId of_b);

  const std::optional<Error>& failure() const { return failure_; }  // the first one

 private:
  Result<bool> SameBytes(TensorId of_a, TensorId of_b);

  const Checkpoint& a_;
  const Checkpoint& b_;
  std::uint64_t bytes_left_ = std::uint64_t{256} << 20;
  std::optional<Error> failure_;
};

}  // namespace ckpt::audit
