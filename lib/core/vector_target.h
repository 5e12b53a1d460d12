// Instruction sets for which a loop is compiled several times, the best chosen at run time.
#pragma once

#include <cstdint>

namespace ckpt {

enum class VectorSet : std::uint8_t { kPlain, kAvx2, kAvx512 };

// What this machine has.
inline VectorSet BestVectorSet() noexcept {
#if defined(__x86_64__)
  static const VectorSet best = [] {
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq")) {
      return VectorSet::kAvx512;
    }
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    return avx2 ? VectorSet::kAvx2 : VectorSet::kPlain;
  }();
  return best;
#else
  return VectorSet::kPlain;
#endif
}

#if defined(__x86_64__)
#define CKPT_FOR_AVX2 __attribute__((target("avx2")))
#if defined(__clang__)
#define CKPT_FOR_AVX512 __attribute__((target("avx512f,avx512vl,avx512bw,avx512dq")))
#else  // GCC would stay with vectors of 256 bits
#define CKPT_FOR_AVX512 \
  __attribute__((target("avx512f,avx512vl,avx512bw,avx512dq,prefer-vector-width=512")))
#endif
#endif

}  // namespace ckpt
