// Sums of products of two matrices that are packed a panel at a time, wherever their elements lie.
#pragma once

#include <cstdint>

namespace ckpt::execution {

// A matrix [lines, depth] that can be packed: lines are rows of the left one, columns of the right.
template <class T>
class Panels {
 public:
  virtual ~Panels() = default;
  // panel[k * width + i] = element (first + i, from + k) for k < depth; zero for i >= count.
  virtual void Pack(std::int64_t first, std::int64_t count, std::int64_t from, std::int64_t depth,
                    std::int64_t width, T* panel) const = 0;
};

template <class T>
class StridedPanels final : public Panels<T> {
 public:
  StridedPanels(const double* base, std::int64_t line_stride, std::int64_t depth_stride)
      : base_(base), line_stride_(line_stride), depth_stride_(depth_stride) {}
  void Pack(std::int64_t first, std::int64_t count, std::int64_t from, std::int64_t depth,
            std::int64_t width, T* panel) const override;

 private:
  const double* base_;
  std::int64_t line_stride_, depth_stride_;
};

// Where a product is added.
struct Target {
  double* base = nullptr;
  std::int64_t row_stride = 0, column_stride = 1;
};

// target += factor * left right^T, sums formed in T (double or float).
template <class T>
void AddProduct(std::int64_t rows, std::int64_t columns, std::int64_t depth, const Panels<T>& left,
                const Panels<T>& right, const Target& target, double factor = 1);

// What AddProduct holds while it works, at most.
inline constexpr std::uint64_t kProductScratchBytes = std::uint64_t{6} << 20;

}  // namespace ckpt::execution
