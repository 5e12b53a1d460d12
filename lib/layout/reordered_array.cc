#include "layout/reordered_array.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace ckpt {
namespace {

// An axis of the result, and the steps along it.
struct ResultAxis {
  std::uint64_t count, in_source, in_result;
};

// The axes of the result but those of one element; neighbours that are neighbours in the source,
// too, are one.
std::vector<ResultAxis> AxesOfResult(const AxisOrder& order) {
  std::vector<std::uint64_t> in_source(order.split.size());
  std::uint64_t step = 1;
  for (std::size_t axis = order.split.size(); axis-- > 0;) {
    in_source[axis] = step;
    step *= static_cast<std::uint64_t>(order.split[axis]);
  }
  std::vector<ResultAxis> axes;
  for (const std::size_t axis : order.axes) {
    const auto count = static_cast<std::uint64_t>(order.split[axis]);
    if (count == 1) continue;
    if (!axes.empty() && axes.back().in_source == in_source[axis] * count) {
      axes.back() = {axes.back().count * count, in_source[axis], 0};
    } else {
      axes.push_back({count, in_source[axis], 0});
    }
  }
  step = 1;
  for (std::size_t k = axes.size(); k-- > 0;) {
    axes[k].in_result = step;
    step *= axes[k].count;
  }
  return axes;
}

// Calls visit(place in source, place in result) for every index of `axes`, the last one fastest.
template <class Visit>
void ForEachPlace(const std::vector<ResultAxis>& axes, const Visit& visit) {
  std::vector<std::uint64_t> index(axes.size(), 0);
  std::uint64_t source = 0, result = 0;
  while (true) {
    visit(source, result);
    std::size_t k = axes.size();
    while (k-- > 0) {
      source += axes[k].in_source;
      result += axes[k].in_result;
      if (++index[k] < axes[k].count) break;
      source -= axes[k].in_source * axes[k].count;
      result -= axes[k].in_result * axes[k].count;
      index[k] = 0;
    }
    if (k == static_cast<std::size_t>(-1)) return;
  }
}

// `along` is consecutive in the source, `across` in the result. Blocks go through a copy of their
// own, so that lines that collide in the cache are read and written once.
template <class Element>
void TransposePlane(const ResultAxis& along, const ResultAxis& across, const Element* source,
                    Element* result) {
  constexpr std::uint64_t kBlock = 16;
  std::array<Element, kBlock * kBlock> block;
  for (std::uint64_t a = 0; a < along.count; a += kBlock) {
    const std::uint64_t width = std::min(kBlock, along.count - a);
    for (std::uint64_t b = 0; b < across.count; b += kBlock) {
      const std::uint64_t height = std::min(kBlock, across.count - b);
      for (std::uint64_t i = 0; i < height; ++i) {
        const Element* const row = source + a + (b + i) * across.in_source;
        for (std::uint64_t j = 0; j < width; ++j) block[j * kBlock + i] = row[j];
      }
      for (std::uint64_t j = 0; j < width; ++j) {
        std::copy_n(&block[j * kBlock], height, result + (a + j) * along.in_result + b);
      }
    }
  }
}

template <class Element>
void Reorder(const AxisOrder& order, const Element* source, Element* result) {
  std::vector<ResultAxis> axes = AxesOfResult(order);
  if (axes.empty()) {
    *result = *source;
    return;
  }
  const ResultAxis last = axes.back();
  axes.pop_back();
  if (last.in_source == 1) {
    ForEachPlace(axes, [&](std::uint64_t from, std::uint64_t to) {
      std::copy_n(source + from, last.count, result + to);
    });
    return;
  }
  const auto along = std::find_if(axes.begin(), axes.end(),
                                  [](const ResultAxis& axis) { return axis.in_source == 1; });
  const ResultAxis consecutive = *along;
  axes.erase(along);
  ForEachPlace(axes, [&](std::uint64_t from, std::uint64_t to) {
    TransposePlane(consecutive, last, source + from, result + to);
  });
}

// REQUIRES: both are aligned for Element.
template <class Element>
void ReorderAs(const AxisOrder& order, std::span<const std::byte> source,
               std::span<std::byte> result) {
  Reorder(order, reinterpret_cast<const Element*>(source.data()),
          reinterpret_cast<Element*>(result.data()));
}

template <std::size_t kSize>  // 0: `size`
void CopyStrided(const std::byte* from, std::uint64_t count, std::byte* to, std::uint64_t step,
                 std::size_t size) {
  const std::size_t bytes = kSize == 0 ? size : kSize;
  for (std::uint64_t i = 0; i < count; ++i) {
    std::memcpy(to + i * step * bytes, from + i * bytes, bytes);
  }
}

std::uint64_t DividedUp(std::uint64_t a, std::uint64_t b) { return a / b + (a % b != 0 ? 1 : 0); }

}  // namespace

void ReorderArray(const AxisOrder& order, std::size_t element_size,
                  std::span<const std::byte> source, std::span<std::byte> result) {
  if (result.empty()) return;
  switch (element_size) {
    case 1:
      return ReorderAs<std::uint8_t>(order, source, result);
    case 2:
      return ReorderAs<std::uint16_t>(order, source, result);
    case 4:
      return ReorderAs<std::uint32_t>(order, source, result);
    case 8:
      return ReorderAs<std::uint64_t>(order, source, result);
    case 16:
      return ReorderAs<std::array<std::byte, 16>>(order, source, result);
    default:
      return ArrayScatter(order, element_size, 0, result).Take(source);
  }
}

ArrayScatter::ArrayScatter(const AxisOrder& order, std::size_t element_size, std::uint64_t first,
                           std::span<std::byte> part)
    : order_(order),
      size_(element_size),
      first_(first),
      count_(part.size() / element_size),
      part_(part),
      strides_(order.split.size()),
      index_(order.split.size(), 0) {
  std::uint64_t stride = 1;
  for (std::size_t k = order.axes.size(); k-- > 0;) {
    strides_[order.axes[k]] = stride;
    stride *= static_cast<std::uint64_t>(order.split[order.axes[k]]);
  }
}

void ArrayScatter::Take(std::span<const std::byte> elements) {
  while (!elements.empty()) {
    const std::uint64_t left =
        index_.empty() ? 1 : static_cast<std::uint64_t>(order_.split.back() - index_.back());
    const auto run = elements.first(
        static_cast<std::size_t>(std::min<std::uint64_t>(left, elements.size() / size_)) * size_);
    Put(run);
    Advance(run.size() / size_);
    elements = elements.subspan(run.size());
  }
}

// Elements along the last axis of the source: those of them that lie in the part.
void ArrayScatter::Put(std::span<const std::byte> run) {
  const std::uint64_t step = strides_.empty() ? 1 : strides_.back(), end = first_ + count_;
  const std::uint64_t from = place_ < first_ ? DividedUp(first_ - place_, step) : 0;
  const std::uint64_t to =
      place_ < end ? std::min<std::uint64_t>(run.size() / size_, DividedUp(end - place_, step)) : 0;
  if (from >= to) return;
  const std::byte* const source = run.data() + from * size_;
  std::byte* const result = part_.data() + (place_ + from * step - first_) * size_;
  switch (size_) {  // so that the compiler knows how much is copied
    case 2:
      return CopyStrided<2>(source, to - from, result, step, size_);
    case 4:
      return CopyStrided<4>(source, to - from, result, step, size_);
    case 8:
      return CopyStrided<8>(source, to - from, result, step, size_);
    default:
      return CopyStrided<0>(source, to - from, result, step, size_);
  }
}

// REQUIRES: no further than to the end of the last axis.
void ArrayScatter::Advance(std::uint64_t count) {
  for (std::size_t axis = index_.size(); axis-- > 0; count = 1) {
    place_ += strides_[axis] * count;
    index_[axis] += static_cast<std::int64_t>(count);
    if (index_[axis] < order_.split[axis]) return;
    place_ -= strides_[axis] * static_cast<std::uint64_t>(order_.split[axis]);
    index_[axis] = 0;
  }
}

}  // namespace ckpt
