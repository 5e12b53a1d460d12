// The innermost loop of all sums of products, in the widest vectors that the machine has.
#pragma once

#include <cstdint>

namespace ckpt::execution {

// tile[i * columns + j] = sum over k < depth of left[k * rows + i] * right[k * columns + j].
template <class T>
struct MicroKernel {
  std::int64_t rows = 0, columns = 0;
  void (*run)(std::int64_t depth, const T* left, const T* right, T* tile) = nullptr;
};

inline constexpr std::int64_t kMostTileElements = 6 * 32;

// Chosen once, by what the processor says of itself.
template <class T>
const MicroKernel<T>& BestMicroKernel();

}  // namespace ckpt::execution
