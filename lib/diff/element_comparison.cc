#include "diff/element_comparison.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "ckpt/elements.h"

namespace ckpt {
namespace {

constexpr std::size_t kBlock = 1024;  // elements widened at a time: both sides stay in the L1 cache

template <class T>
T Load(const std::byte* from) {
  std::array<std::byte, sizeof(T)> bytes;
  std::memcpy(bytes.data(), from, sizeof(T));
  if constexpr (std::endian::native == std::endian::big) std::reverse(bytes.begin(), bytes.end());
  return std::bit_cast<T>(bytes);
}

// Maps the bits of sign and magnitude to integers in the order of the values, neighbours one apart;
// both zeros to 0.
template <class Signed, class Unsigned>
Signed Ordered(Unsigned bits, int width) {
  const auto sign = static_cast<Unsigned>(Unsigned{1} << (width - 1));
  const auto magnitude = static_cast<Signed>(bits & (sign - 1));
  return (bits & sign) != 0 ? static_cast<Signed>(-magnitude) : magnitude;
}

std::uint64_t Distance(std::int64_t a, std::int64_t b) {
  return a > b ? static_cast<std::uint64_t>(a) - static_cast<std::uint64_t>(b)
               : static_cast<std::uint64_t>(b) - static_cast<std::uint64_t>(a);
}

// The largest distance in steps between float32 elements that are finite.
std::uint64_t MaxSteps32(const std::byte* a, const std::byte* b, std::size_t count) {
  std::uint32_t most = 0;
#pragma omp simd reduction(max : most)
  for (std::size_t i = 0; i < count; ++i) {
    // A difference of two such integers fits 32 unsigned bits.
    const auto x = Ordered<std::int32_t>(Load<std::uint32_t>(a + 4 * i), 32);
    const auto y = Ordered<std::int32_t>(Load<std::uint32_t>(b + 4 * i), 32);
    const auto above = static_cast<std::uint32_t>(x) - static_cast<std::uint32_t>(y);
    const std::uint32_t steps = x > y ? above : 0U - above;
    most = steps > most ? steps : most;
  }
  return most;
}

std::uint64_t Steps(Dtype dtype, const std::byte* a, const std::byte* b) {
  switch (BitSize(dtype)) {
    case 64:
      return Distance(Ordered<std::int64_t>(Load<std::uint64_t>(a), 64),
                      Ordered<std::int64_t>(Load<std::uint64_t>(b), 64));
    case 32:
      return Distance(Ordered<std::int64_t>(std::uint64_t{Load<std::uint32_t>(a)}, 32),
                      Ordered<std::int64_t>(std::uint64_t{Load<std::uint32_t>(b)}, 32));
    case 16:
      return Distance(Ordered<std::int64_t>(std::uint64_t{Load<std::uint16_t>(a)}, 16),
                      Ordered<std::int64_t>(std::uint64_t{Load<std::uint16_t>(b)}, 16));
    default:
      break;
  }
  const auto x = std::to_integer<std::uint64_t>(*a), y = std::to_integer<std::uint64_t>(*b);
  if (dtype == Dtype::kF8E8M0) {  // no sign
    return Distance(static_cast<std::int64_t>(x), static_cast<std::int64_t>(y));
  }
  return Distance(Ordered<std::int64_t>(x, 8), Ordered<std::int64_t>(y, 8));
}

// |a - b| in units in the last place of `dtype` at the larger of the two, a correct rounding being
// 0. An integer type has units of 1.
std::uint64_t UnitsBetween(Dtype dtype, double a, double b) {
  double unit = 1;
  if (IsFloat(dtype)) {
    const double magnitude = std::max({std::fabs(a), std::fabs(b), MinNormal(dtype)});
    unit = std::ldexp(2 * UnitRoundoff(dtype), std::ilogb(magnitude));
  }
  const double units = std::ceil(std::fabs(a - b) / unit - 0.5);
  return units < 0x1p63 ? static_cast<std::uint64_t>(std::max(units, 0.0)) : std::uint64_t{1} << 63;
}

// The type with the larger steps: floats before integers, fewer bits of mantissa first.
Dtype Coarser(Dtype a, Dtype b) {
  if (IsFloat(a) != IsFloat(b)) return IsFloat(a) ? a : b;
  return UnitRoundoff(a) >= UnitRoundoff(b) ? a : b;
}

bool IsWideInteger(Dtype dtype) { return dtype == Dtype::kI64 || dtype == Dtype::kU64; }

double SumOfSquares(std::span<const double> values) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::size_t i = 0; i < values.size(); ++i) sum += values[i] * values[i];
  return sum;
}

bool AllFinite(std::span<const double> values) {
  return std::all_of(values.begin(), values.end(),
                     [](double value) { return std::isfinite(value); });
}

// Equal, or NaN both.
bool IsSame(double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); }

}  // namespace

bool AreComparable(Dtype a, Dtype b) noexcept {
  return (IsReal(a) && IsReal(b)) || (IsComplex(a) && IsComplex(b));
}

ElementComparison::ElementComparison(Dtype a, Dtype b, Tolerance tolerance)
    : a_(a), b_(b), tolerance_(tolerance), x_(kBlock), y_(kBlock) {}

void ElementComparison::Add(std::span<const std::byte> a, std::span<const std::byte> b) {
  const std::size_t size_a = BitSize(a_) / 8, size_b = BitSize(b_) / 8;
  const std::size_t count = a.size() / size_a;
  for (std::size_t done = 0; done < count; done += kBlock) {
    const std::size_t now = std::min(kBlock, count - done);
    const auto part_a = a.subspan(done * size_a, now * size_a);
    const auto part_b = b.subspan(done * size_b, now * size_b);
    if (IsComplex(a_)) {
      AddComplex(part_a, part_b);
    } else if (a_ == b_ && IsWideInteger(a_)) {
      AddWideIntegers(part_a, part_b);
    } else {
      AddReals(part_a, part_b);
    }
  }
}

void ElementComparison::AddEqual(std::span<const std::byte> both) {
  const bool complex = IsComplex(a_);
  const Dtype part = a_ == Dtype::kC64 ? Dtype::kF32 : complex ? Dtype::kF64 : a_;
  const std::size_t size = BitSize(part) / 8;
  const std::size_t count = both.size() / size;
  for (std::size_t done = 0; done < count; done += kBlock) {
    const auto x = std::span(x_).first(std::min(kBlock, count - done));
    DecodeToDouble(part, both.subspan(done * size, x.size() * size), x);
    const double norm = SumOfSquares(x);
    AddProducts({norm, norm, norm, 0});
    if (std::isfinite(norm)) continue;
    const std::size_t parts = complex ? 2 : 1;
    for (std::size_t i = 0; i < x.size(); i += parts) {
      const auto element = x.subspan(i, parts);
      if (!AllFinite(element)) AddNonFinite(element, element);
    }
  }
}

void ElementComparison::AddReals(std::span<const std::byte> a, std::span<const std::byte> b) {
  const std::size_t count = a.size() * 8 / BitSize(a_);
  const auto x = std::span(x_).first(count), y = std::span(y_).first(count);
  DecodeToDouble(a_, a, x);
  DecodeToDouble(b_, b, y);
  const bool finite = AddFinite(x, y);
  if (!finite) {
    for (std::size_t i = 0; i < count; ++i) AddAny(x[i], y[i]);
  }
  AddUlps(a, b, x, y, finite);
}

bool ElementComparison::AddFinite(std::span<const double> x, std::span<const double> y) {
  constexpr double kSmallest = std::numeric_limits<double>::denorm_min();  // 0 / 0 becomes 0
  const double rtol = tolerance_.rtol, atol = tolerance_.atol;
  const double *a = x.data(), *b = y.data();
  const std::size_t count = x.size();
  double dot = 0, norm_a = 0, norm_b = 0, squares = 0, max_abs = 0, max_rel = 0;
  double differing = 0, beyond = 0;  // counts, in the one type that all of the loop has
#pragma omp simd reduction(+ : dot, norm_a, norm_b, squares, differing, beyond) reduction(max : max_abs, max_rel)
  for (std::size_t i = 0; i < count; ++i) {
    const double p = a[i], q = b[i];
    const double distance = std::fabs(p - q);
    const double left = std::fabs(p), right = std::fabs(q);
    const double magnitude = left > right ? left : right;
    const double relative = distance / (magnitude > kSmallest ? magnitude : kSmallest);
    dot += p * q;
    norm_a += p * p;
    norm_b += q * q;
    squares += distance * distance;
    max_abs = distance > max_abs ? distance : max_abs;
    max_rel = relative > max_rel ? relative : max_rel;
    differing += distance > 0 ? 1.0 : 0.0;
    beyond += distance > atol + rtol * magnitude ? 1.0 : 0.0;
  }
  // A sum of squares is finite only if every element is.
  if (!std::isfinite(norm_a + norm_b)) return false;
  AddProducts({dot, norm_a, norm_b, squares});
  max_abs_ = std::max(max_abs_, max_abs);
  max_rel_ = std::max(max_rel_, max_rel);
  differing_ += static_cast<std::uint64_t>(differing);
  beyond_ += static_cast<std::uint64_t>(beyond);
  return true;
}

void ElementComparison::AddAny(double x, double y) {
  if (!std::isfinite(x) || !std::isfinite(y)) {
    AddNonFinite({&x, 1}, {&y, 1});
    return;
  }
  AddProducts({x * y, x * x, y * y, (x - y) * (x - y)});
  AddDistance(std::fabs(x - y), std::max(std::fabs(x), std::fabs(y)));
}

void ElementComparison::AddNonFinite(std::span<const double> x, std::span<const double> y) {
  const auto is_nan = [](double value) { return std::isnan(value); };
  nan_a_ += std::any_of(x.begin(), x.end(), is_nan) ? 1 : 0;
  nan_b_ += std::any_of(y.begin(), y.end(), is_nan) ? 1 : 0;
  const bool same = std::equal(x.begin(), x.end(), y.begin(), IsSame);
  ++non_finite_;
  finite_ = false;
  differing_ += same ? 0 : 1;
  beyond_ += same ? 0 : 1;
}

void ElementComparison::AddProducts(const Products& products) {
  sums_.dot += products.dot;
  sums_.norm_a += products.norm_a;
  sums_.norm_b += products.norm_b;
  sums_.distance += products.distance;
}

void ElementComparison::AddDistance(double distance, double magnitude) {
  if (distance == 0) return;
  ++differing_;
  max_abs_ = std::max(max_abs_, distance);
  max_rel_ = std::max(max_rel_, distance / magnitude);
  if (distance > tolerance_.atol + tolerance_.rtol * magnitude) ++beyond_;
}

// 64-bit integers do not fit a double: the difference is taken as an integer.
void ElementComparison::AddWideIntegers(std::span<const std::byte> a,
                                        std::span<const std::byte> b) {
  for (std::size_t i = 0; i < a.size(); i += 8) {
    const auto p = Load<std::uint64_t>(a.data() + i), q = Load<std::uint64_t>(b.data() + i);
    const bool is_signed = a_ == Dtype::kI64;
    const auto sp = static_cast<std::int64_t>(p), sq = static_cast<std::int64_t>(q);
    const double x = is_signed ? static_cast<double>(sp) : static_cast<double>(p);
    const double y = is_signed ? static_cast<double>(sq) : static_cast<double>(q);
    const std::uint64_t distance = (is_signed ? sp > sq : p > q) ? p - q : q - p;
    const auto apart = static_cast<double>(distance);
    AddProducts({x * y, x * x, y * y, apart * apart});
    max_ulp_ = std::max(max_ulp_, distance);
    AddDistance(apart, std::max(std::fabs(x), std::fabs(y)));
  }
}

void ElementComparison::AddComplex(std::span<const std::byte> a, std::span<const std::byte> b) {
  const Dtype part_a = a_ == Dtype::kC64 ? Dtype::kF32 : Dtype::kF64;
  const Dtype part_b = b_ == Dtype::kC64 ? Dtype::kF32 : Dtype::kF64;
  const std::size_t count = a.size() * 8 / BitSize(a_);
  std::vector<double> x(2 * count), y(2 * count);
  DecodeToDouble(part_a, a, x);
  DecodeToDouble(part_b, b, y);
  for (std::size_t i = 0; i < 2 * count; i += 2) {
    const std::span<const double> p = std::span(x).subspan(i, 2), q = std::span(y).subspan(i, 2);
    if (!AllFinite(p) || !AllFinite(q)) {
      AddNonFinite(p, q);
      continue;
    }
    const double apart = std::hypot(p[0] - q[0], p[1] - q[1]);
    AddProducts({p[0] * q[0] + p[1] * q[1], p[0] * p[0] + p[1] * p[1], q[0] * q[0] + q[1] * q[1],
                 apart * apart});
    AddDistance(apart, std::max(std::hypot(p[0], p[1]), std::hypot(q[0], q[1])));
  }
}

void ElementComparison::AddUlps(std::span<const std::byte> a, std::span<const std::byte> b,
                                std::span<const double> x, std::span<const double> y, bool finite) {
  const bool one_float = a_ == b_ && IsFloat(a_);
  if (one_float && a_ == Dtype::kF32 && finite) {
    max_ulp_ = std::max(max_ulp_, MaxSteps32(a.data(), b.data(), x.size()));
    return;
  }
  const std::size_t size = BitSize(a_) / 8;
  const Dtype coarser = Coarser(a_, b_);
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (x[i] == y[i] || !std::isfinite(x[i]) || !std::isfinite(y[i])) continue;
    const std::uint64_t steps = one_float ? Steps(a_, a.data() + i * size, b.data() + i * size)
                                          : UnitsBetween(coarser, x[i], y[i]);
    max_ulp_ = std::max(max_ulp_, steps);
  }
}

ElementStatistics ElementComparison::Finish() const {
  ElementStatistics result;
  result.max_abs = max_abs_;
  result.max_rel = max_rel_;
  result.max_ulp = max_ulp_;
  result.differing = differing_;
  result.beyond_tolerance = beyond_;
  result.non_finite = non_finite_;
  result.nan_a = nan_a_;
  result.nan_b = nan_b_;
  // Of A's zeros any change is infinite.
  result.relative_norm =
      sums_.distance == 0 ? 0 : std::sqrt(sums_.distance) / std::sqrt(sums_.norm_a);
  const double norms = std::sqrt(sums_.norm_a) * std::sqrt(sums_.norm_b);
  const bool defined = finite_ && norms > 0 && std::isfinite(norms);
  // Rounding may carry the quotient of parallel vectors past 1.
  result.cosine =
      defined ? std::clamp(sums_.dot / norms, -1.0, 1.0) : std::numeric_limits<double>::quiet_NaN();
  return result;
}

}  // namespace ckpt
