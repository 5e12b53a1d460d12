// The elements of a tensor as doubles, in another order of its axes.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "ckpt/axis_order.h"
#include "ckpt/checkpoint.h"

namespace ckpt {

// REQUIRES: the tensor is of a float type.
class PermutedElements {
 public:
  // `order`: null for the elements as they are.
  static Result<PermutedElements> Open(const Checkpoint& checkpoint, TensorId id,
                                       const AxisOrder* order);

  // The next `count` elements; valid until the next call. Fails with kCorrupt where there are not
  // as many.
  Result<const std::vector<double>*> Take(std::size_t count);

 private:
  PermutedElements(const TensorInfo& info, std::unique_ptr<TensorStream> stream)
      : info_(&info), stream_(std::move(stream)) {}

  const TensorInfo* info_;
  std::unique_ptr<TensorStream> stream_;
  std::span<const std::byte> pending_ = {};
  std::vector<double> values_ = {};
};

}  // namespace ckpt
