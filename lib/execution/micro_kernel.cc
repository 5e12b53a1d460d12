#include "execution/micro_kernel.h"

#include "core/vector_target.h"

namespace ckpt::execution {
namespace {

// The vectors are those of GCC and Clang. The loops stand in each function itself, not in a
// template that all of them call: a vector that is wider than a function's target is taken apart
// before anything is inlined.
#define CKPT_MICRO_KERNEL(name, target, Element, bytes, height, vectors)                           \
  target void name(std::int64_t depth, const Element* left, const Element* right, Element* tile) { \
    using Vector __attribute__((vector_size(bytes), aligned(sizeof(Element)), may_alias)) =        \
        Element;                                                                                   \
    constexpr int kWidth = static_cast<int>((bytes) / sizeof(Element));                            \
    constexpr int kColumns = (vectors)*kWidth;                                                     \
    using Sum __attribute__((vector_size(bytes))) = Element;                                       \
    Sum sums[height][vectors] = {};                                                                \
    for (std::int64_t k = 0; k < depth; ++k) {                                                     \
      Sum columns[vectors];                                                                        \
      _Pragma("GCC unroll 4") for (int j = 0; j < (vectors); ++j) {                                \
        columns[j] = *reinterpret_cast<const Vector*>(right + j * kWidth);                         \
      }                                                                                            \
      _Pragma("GCC unroll 8") for (int i = 0; i < (height); ++i) {                                 \
        _Pragma("GCC unroll 4") for (int j = 0; j < (vectors); ++j) {                              \
          sums[i][j] += left[i] * columns[j];                                                      \
        }                                                                                          \
      }                                                                                            \
      left += (height);                                                                            \
      right += kColumns;                                                                           \
    }                                                                                              \
    _Pragma("GCC unroll 8") for (int i = 0; i < (height); ++i) {                                   \
      _Pragma("GCC unroll 4") for (int j = 0; j < (vectors); ++j) {                                \
        *reinterpret_cast<Vector*>(tile + i * kColumns + j * kWidth) = sums[i][j];                 \
      }                                                                                            \
    }                                                                                              \
  }

#if defined(__x86_64__)
#define CKPT_AVX512 __attribute__((target("avx512f,avx512vl,avx512dq,fma")))
#define CKPT_AVX2 __attribute__((target("avx2,fma")))
CKPT_MICRO_KERNEL(DoubleAvx512, CKPT_AVX512, double, 64, 6, 2)
CKPT_MICRO_KERNEL(FloatAvx512, CKPT_AVX512, float, 64, 6, 2)
CKPT_MICRO_KERNEL(DoubleAvx2, CKPT_AVX2, double, 32, 6, 2)
CKPT_MICRO_KERNEL(FloatAvx2, CKPT_AVX2, float, 32, 6, 2)
#endif
CKPT_MICRO_KERNEL(DoublePlain, , double, 16, 4, 2)
CKPT_MICRO_KERNEL(FloatPlain, , float, 16, 4, 2)
#undef CKPT_MICRO_KERNEL

}  // namespace

template <>
const MicroKernel<double>& BestMicroKernel<double>() {
  static const MicroKernel<double> kernel = [] {
    const VectorSet vectors = BestVectorSet();
#if defined(__x86_64__)
    if (vectors == VectorSet::kAvx512) return MicroKernel<double>{6, 16, DoubleAvx512};
    if (vectors == VectorSet::kAvx2) return MicroKernel<double>{6, 8, DoubleAvx2};
#endif
    static_cast<void>(vectors);
    return MicroKernel<double>{4, 4, DoublePlain};
  }();
  return kernel;
}

template <>
const MicroKernel<float>& BestMicroKernel<float>() {
  static const MicroKernel<float> kernel = [] {
    const VectorSet vectors = BestVectorSet();
#if defined(__x86_64__)
    if (vectors == VectorSet::kAvx512) return MicroKernel<float>{6, 32, FloatAvx512};
    if (vectors == VectorSet::kAvx2) return MicroKernel<float>{6, 16, FloatAvx2};
#endif
    static_cast<void>(vectors);
    return MicroKernel<float>{4, 8, FloatPlain};
  }();
  return kernel;
}

}  // namespace ckpt::execution
