// The elements of an array put into another order, in memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "ckpt/axis_order.h"

namespace ckpt {

// All of it, in blocks, so that no line of either side is fetched more than about once.
// REQUIRES: both have order.result.element_count() elements of `element_size` bytes, and are
// aligned for them.
void ReorderArray(const AxisOrder& order, std::size_t element_size,
                  std::span<const std::byte> source, std::span<std::byte> result);

// Puts what it is given of a source, front to back, where it belongs in one part of the result.
class ArrayScatter {
 public:
  // `part`: the elements of the result from `first` on. It and `order` must outlive this.
  ArrayScatter(const AxisOrder& order, std::size_t element_size, std::uint64_t first,
               std::span<std::byte> part);

  // REQUIRES: a whole number of elements, no more in all than the source has.
  void Take(std::span<const std::byte> elements);

 private:
  void Put(std::span<const std::byte> run);
  void Advance(std::uint64_t count);

  const AxisOrder& order_;
  std::size_t size_;
  std::uint64_t first_, count_;
  std::span<std::byte> part_;
  std::vector<std::uint64_t>
      strides_;                      // the step in the result for one along an axis of the source
  std::vector<std::int64_t> index_;  // of the next element of the source
  std::uint64_t place_ = 0;          // in the result
};

}  // namespace ckpt
