#include "core/element_loops.h"

#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

namespace ckpt {
namespace {

constexpr std::int64_t kAllButSign = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t kInfinityBits = std::int64_t{0x7FF} << 52;

// Magnitudes are ordered as their bits are; those of NaN lie above infinity.
[[gnu::always_inline]] inline std::int64_t MagnitudeBits(double value) {
  return std::bit_cast<std::int64_t>(value) & kAllButSign;
}

struct WidenLoop {
  [[gnu::always_inline]] static inline void Run(const std::byte* from, std::size_t count,
                                                double* out) {
    for (std::size_t i = 0; i < count; ++i) {
      float value;
      std::memcpy(&value, from + i * sizeof value, sizeof value);
      out[i] = static_cast<double>(value);
    }
  }
};

struct NarrowLoop {
  [[gnu::always_inline]] static inline void Run(const double* in, std::size_t count,
                                                std::byte* out) {
    for (std::size_t i = 0; i < count; ++i) {
      const auto value = static_cast<float>(in[i]);
      std::memcpy(out + i * sizeof value, &value, sizeof value);
    }
  }
};

struct MultiplyAllLoop {
  [[gnu::always_inline]] static inline void Run(double* elements, std::size_t count,
                                                double factor) {
    for (std::size_t i = 0; i < count; ++i) elements[i] *= factor;
  }
};

struct MultiplyEachLoop {
  [[gnu::always_inline]] static inline void Run(double* elements, std::size_t count,
                                                const double* factors) {
    for (std::size_t i = 0; i < count; ++i) elements[i] *= factors[i];
  }
};

struct FiniteLoop {
  [[gnu::always_inline]] static inline bool Run(const double* elements, std::size_t count) {
    std::int64_t largest = 0;
    for (std::size_t i = 0; i < count; ++i) {
      const std::int64_t bits = MagnitudeBits(elements[i]);
      largest = bits > largest ? bits : largest;
    }
    return largest < kInfinityBits;
  }
};

struct CountLoop {
  [[gnu::always_inline]] static inline std::uint64_t Run(const double* elements, std::size_t count,
                                                         std::int64_t from, std::int64_t to) {
    std::uint64_t found = 0;
    for (std::size_t i = 0; i < count; ++i) {
      const std::int64_t bits = MagnitudeBits(elements[i]);
      found += (bits < from ? std::uint64_t{0} : 1) & (bits > to ? std::uint64_t{0} : 1);
    }
    return found;
  }
};

struct LargestLoop {
  [[gnu::always_inline]] static inline std::int64_t Run(const double* elements, std::size_t count,
                                                        std::int64_t limit) {
    std::int64_t largest = 0;
    for (std::size_t i = 0; i < count; ++i) {
      std::int64_t bits = MagnitudeBits(elements[i]);
      bits = bits > limit ? 0 : bits;
      largest = bits > largest ? bits : largest;
    }
    return largest;
  }
};

constexpr std::size_t kLanes = 8;

struct SumLoop {
  [[gnu::always_inline]] static inline double Run(const double* elements, std::size_t count,
                                                  double factor) {
    std::array<double, kLanes> lanes = {};
    std::size_t i = 0;
    for (; i + kLanes <= count; i += kLanes) {
      for (std::size_t lane = 0; lane < kLanes; ++lane) {
        lanes[lane] += std::fabs(elements[i + lane] * factor);
      }
    }
    for (std::size_t lane = 0; i + lane < count; ++lane) {
      lanes[lane] += std::fabs(elements[i + lane] * factor);
    }
    for (std::size_t half = kLanes / 2; half > 0; half /= 2) {
      for (std::size_t lane = 0; lane < half; ++lane) lanes[lane] += lanes[lane + half];
    }
    return lanes[0];
  }
};

struct AddMagnitudesLoop {
  [[gnu::always_inline]] static inline void Run(const double* elements, std::size_t count,
                                                double factor, double* sums) {
    for (std::size_t i = 0; i < count; ++i) sums[i] += std::fabs(elements[i] * factor);
  }
};

[[gnu::always_inline]] inline void AddTerm(double term, double& sum, double& rest) {
  const double next = sum + term;
  const double if_sum = (sum - next) + term, if_term = (term - next) + sum;
  rest += std::fabs(sum) >= std::fabs(term) ? if_sum : if_term;
  sum = next;
}

struct CompensatedLoop {
  [[gnu::always_inline]] static inline void Run(const double* terms, std::size_t count, double* sum,
                                                double* rest, double* magnitude) {
    for (std::size_t i = 0; i < count; ++i) {
      AddTerm(terms[i], sum[i], rest[i]);
      magnitude[i] += std::fabs(terms[i]);
    }
  }
};

}  // namespace

void WidenF32(std::span<const std::byte> bytes, std::span<double> out, VectorSet set) {
  RunLoop<WidenLoop>(set, bytes.data(), out.size(), out.data());
}

void NarrowToF32(std::span<const double> in, std::span<std::byte> out, VectorSet set) {
  RunLoop<NarrowLoop>(set, in.data(), in.size(), out.data());
}

void MultiplyAll(std::span<double> elements, double factor, VectorSet set) {
  RunLoop<MultiplyAllLoop>(set, elements.data(), elements.size(), factor);
}

void MultiplyEach(std::span<double> elements, const double* factors, VectorSet set) {
  RunLoop<MultiplyEachLoop>(set, elements.data(), elements.size(), factors);
}

bool AllFinite(std::span<const double> elements, VectorSet set) {
  return RunLoop<FiniteLoop>(set, elements.data(), elements.size());
}

std::uint64_t CountMagnitudes(std::span<const double> elements, double from, double to,
                              VectorSet set) {
  return RunLoop<CountLoop>(set, elements.data(), elements.size(), MagnitudeBits(from),
                            MagnitudeBits(to));
}

double LargestMagnitude(std::span<const double> elements, double limit, VectorSet set) {
  return std::bit_cast<double>(
      RunLoop<LargestLoop>(set, elements.data(), elements.size(), MagnitudeBits(limit)));
}

double SumOfMagnitudes(std::span<const double> elements, double factor, VectorSet set) {
  return RunLoop<SumLoop>(set, elements.data(), elements.size(), factor);
}

void AddMagnitudes(std::span<const double> elements, double factor, double* sums, VectorSet set) {
  RunLoop<AddMagnitudesLoop>(set, elements.data(), elements.size(), factor, sums);
}

void AddCompensated(std::span<const double> terms, CompensatedSums sums, VectorSet set) {
  RunLoop<CompensatedLoop>(set, terms.data(), terms.size(), sums.sum, sums.rest, sums.magnitude);
}

void AddAllCompensated(std::span<const double> terms, CompensatedSums sums) {
  double sum = *sums.sum, rest = *sums.rest, magnitude = *sums.magnitude;
  for (const double term : terms) {
    AddTerm(term, sum, rest);
    magnitude += std::fabs(term);
  }
  *sums.sum = sum;
  *sums.rest = rest;
  *sums.magnitude = magnitude;
}

}  // namespace ckpt
