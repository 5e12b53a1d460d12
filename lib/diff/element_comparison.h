// Compares the elements of two tensors, given piece by piece.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "ckpt/dtype.h"

namespace ckpt {

// a and b are close where |a - b| <= atol + rtol * max(|a|, |b|). Infinities are close to
// themselves only, NaN to NaN.
struct Tolerance {
  double rtol = 0, atol = 0;
};

// As in TensorDiff.
struct ElementStatistics {
  double max_abs = 0, max_rel = 0;
  std::uint64_t max_ulp = 0;
  double cosine = 1, relative_norm = 0;
  std::uint64_t differing = 0, beyond_tolerance = 0, non_finite = 0, nan_a = 0, nan_b = 0;
};

// Can elements of these types be compared as numbers? Both real or both complex.
bool AreComparable(Dtype a, Dtype b) noexcept;

class ElementComparison {
 public:
  // REQUIRES: AreComparable(a, b).
  ElementComparison(Dtype a, Dtype b, Tolerance tolerance);

  // The next elements of both: little-endian, the same number of each.
  void Add(std::span<const std::byte> a, std::span<const std::byte> b);
  // The same for elements that are the same in both, of one type.
  void AddEqual(std::span<const std::byte> both);

  ElementStatistics Finish() const;

 private:
  void AddReals(std::span<const std::byte> a, std::span<const std::byte> b);
  void AddWideIntegers(std::span<const std::byte> a, std::span<const std::byte> b);
  void AddComplex(std::span<const std::byte> a, std::span<const std::byte> b);
  // Adds a block of finite elements; false, and nothing added, where one is not or squares
  // overflow.
  bool AddFinite(std::span<const double> x, std::span<const double> y);
  void AddAny(double x, double y);
  struct Products {
    double dot, norm_a, norm_b, distance;  // sums of a*b, a*a, b*b, (a-b)^2
  };
  void AddProducts(const Products& products);
  void AddDistance(double distance, double magnitude);
  // One element, complex ones in two parts, that is not finite on one side or both.
  void AddNonFinite(std::span<const double> x, std::span<const double> y);
  void AddUlps(std::span<const std::byte> a, std::span<const std::byte> b,
               std::span<const double> x, std::span<const double> y, bool finite);

  Dtype a_, b_;
  Tolerance tolerance_;
  bool finite_ = true;
  double max_abs_ = 0, max_rel_ = 0;
  Products sums_{};
  std::uint64_t max_ulp_ = 0, differing_ = 0, beyond_ = 0, non_finite_ = 0;
  std::uint64_t nan_a_ = 0, nan_b_ = 0;
  std::vector<double> x_, y_;  // one block of each side, widened
};

}  // namespace ckpt
