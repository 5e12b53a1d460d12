// What the values of a tensor look like in a few numbers, taken in one pass over its bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>

#include "ckpt/checkpoint.h"

namespace ckpt {

// Of the finite elements; those that are not are counted. Without a finite one the four are NaN.
// Sums of squares beyond the range of double make the deviation infinite.
struct TensorStatistics {
  double min = std::numeric_limits<double>::quiet_NaN();
  double max = std::numeric_limits<double>::quiet_NaN();
  double mean = std::numeric_limits<double>::quiet_NaN();
  std::uint64_t finite = 0, nan = 0, infinite = 0;  // elements
  double squares = 0;                               // sum of (x - mean)^2

  double deviation() const;  // sqrt(squares / finite), as numpy.std has it
  void Add(std::span<const double> values);
  // Whole elements as they are stored. REQUIRES: IsReal(dtype).
  void Add(Dtype dtype, std::span<const std::byte> bytes);
  // The statistics of both together.
  void Add(const TensorStatistics& other);
};

// Reads the tensor front to back; memory does not grow with it. Absent for elements that are no
// real numbers (text, complex numbers, opaque types) and for a tensor whose data is not there.
Result<std::optional<TensorStatistics>> MeasureTensor(const Checkpoint& checkpoint, TensorId id);

}  // namespace ckpt
