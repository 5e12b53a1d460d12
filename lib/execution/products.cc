#include "execution/products.h"

#include <algorithm>
#include <vector>

#include "execution/micro_kernel.h"
#include "execution/strided.h"

namespace ckpt::execution {
namespace {

// A panel of the right matrix stays in the first cache, the block of the left one in the second,
// that of the right one in the third.
constexpr std::int64_t kDepth = 256, kRows = 96, kColumns = 2048;

std::int64_t RoundedUp(std::int64_t count, std::int64_t unit) {
  return (count + unit - 1) / unit * unit;
}

template <class T>
void PackBlock(const Panels<T>& panels, std::int64_t first, std::int64_t count, std::int64_t from,
               std::int64_t depth, std::int64_t width, T* block) {
  for (std::int64_t i = 0; i < count; i += width) {
    panels.Pack(first + i, std::min(width, count - i), from, depth, width, block + i * depth);
  }
}

// Adds the part of a tile that lies within the result.
template <class T>
void AddTile(const T* tile, std::int64_t width, std::int64_t rows, std::int64_t columns,
             const Target& target, T factor) {
  for (std::int64_t i = 0; i < rows; ++i) {
    double* row = target.base + i * target.row_stride;
    if (target.column_stride == 1) {
      for (std::int64_t j = 0; j < columns; ++j) {
        row[j] = static_cast<T>(static_cast<T>(row[j]) + factor * tile[i * width + j]);
      }
    } else {
      for (std::int64_t j = 0; j < columns; ++j) {
        double& sum = row[j * target.column_stride];
        sum = static_cast<T>(static_cast<T>(sum) + factor * tile[i * width + j]);
      }
    }
  }
}

struct Block {
  std::int64_t rows = 0, columns = 0, depth = 0;
};

template <class T>
void MultiplyBlocks(const MicroKernel<T>& kernel, const Block& block, const T* left, const T* right,
                    const Target& target, T factor) {
  alignas(64) T tile[kMostTileElements];
  for (std::int64_t j = 0; j < block.columns; j += kernel.columns) {
    for (std::int64_t i = 0; i < block.rows; i += kernel.rows) {
      kernel.run(block.depth, left + i * block.depth, right + j * block.depth, tile);
      const Target part{target.base + i * target.row_stride + j * target.column_stride,
                        target.row_stride, target.column_stride};
      AddTile(tile, kernel.columns, std::min(kernel.rows, block.rows - i),
              std::min(kernel.columns, block.columns - j), part, factor);
    }
  }
}

}  // namespace

template <class T>
void StridedPanels<T>::Pack(std::int64_t first, std::int64_t count, std::int64_t from,
                            std::int64_t depth, std::int64_t width, T* panel) const {
  const double* base = base_ + first * line_stride_ + from * depth_stride_;
  if (count < width) std::fill_n(panel, depth * width, T{0});
  for (std::int64_t k = 0; k < depth; ++k) {
    const double* source = base + k * depth_stride_;
    T* target = panel + k * width;
    if (line_stride_ == 1) {
      for (std::int64_t i = 0; i < count; ++i) target[i] = static_cast<T>(source[i]);
    } else {
      for (std::int64_t i = 0; i < count; ++i) target[i] = static_cast<T>(source[i * line_stride_]);
    }
  }
}

template <class T>
void AddProduct(std::int64_t rows, std::int64_t columns, std::int64_t depth, const Panels<T>& left,
                const Panels<T>& right, const Target& target, double factor) {
  const MicroKernel<T>& kernel = BestMicroKernel<T>();
  const std::int64_t most_depth = std::min(depth, kDepth);
  std::vector<T> left_block(Index(RoundedUp(std::min(rows, kRows), kernel.rows) * most_depth));
  std::vector<T> right_block(
      Index(RoundedUp(std::min(columns, kColumns), kernel.columns) * most_depth));
  for (std::int64_t j = 0; j < columns; j += kColumns) {
    Block block{0, std::min(kColumns, columns - j), 0};
    for (std::int64_t k = 0; k < depth; k += kDepth) {
      block.depth = std::min(kDepth, depth - k);
      PackBlock(right, j, block.columns, k, block.depth, kernel.columns, right_block.data());
      for (std::int64_t i = 0; i < rows; i += kRows) {
        block.rows = std::min(kRows, rows - i);
        PackBlock(left, i, block.rows, k, block.depth, kernel.rows, left_block.data());
        const Target part{target.base + i * target.row_stride + j * target.column_stride,
                          target.row_stride, target.column_stride};
        MultiplyBlocks(kernel, block, left_block.data(), right_block.data(), part,
                       static_cast<T>(factor));
      }
    }
  }
}

template class StridedPanels<double>;
template class StridedPanels<float>;
template void AddProduct(std::int64_t, std::int64_t, std::int64_t, const Panels<double>&,
                         const Panels<double>&, const Target&, double);
template void AddProduct(std::int64_t, std::int64_t, std::int64_t, const Panels<float>&,
                         const Panels<float>&, const Target&, double);

}  // namespace ckpt::execution
