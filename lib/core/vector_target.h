// Instruction sets for which a loop is compiled several times, the best chosen at run time.
#pragma once

#include <cstdint>
#include <utility>

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

// Loop::Run(arguments...), a static function that is always inlined, compiled for each set.
template <class Loop, class... Arguments>
class CompiledLoop {
 public:
  using Result = decltype(Loop::Run(std::declval<Arguments>()...));

  // REQUIRES: `set` is no better than BestVectorSet().
  static Result Run([[maybe_unused]] VectorSet set, Arguments... arguments) {
#if defined(__x86_64__)
    if (set == VectorSet::kAvx512) return Avx512(arguments...);
    if (set == VectorSet::kAvx2) return Avx2(arguments...);
#endif
    return Loop::Run(arguments...);
  }

 private:
#if defined(__x86_64__)
  CKPT_FOR_AVX2 static Result Avx2(Arguments... arguments) { return Loop::Run(arguments...); }
  CKPT_FOR_AVX512 static Result Avx512(Arguments... arguments) { return Loop::Run(arguments...); }
#endif
};

template <class Loop, class... Arguments>
auto RunLoop(VectorSet set, Arguments... arguments) {
  return CompiledLoop<Loop, Arguments...>::Run(set, arguments...);
}

}  // namespace ckpt
