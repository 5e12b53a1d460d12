// Loops over many elements as doubles, in the vectors of this machine. What they yield does not
// depend on the set: every element is computed alone, and sums are taken in an order that is fixed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/vector_target.h"

namespace ckpt {

// REQUIRES of all: `set` is no better than BestVectorSet().

// float32 in the byte order of the machine as double, and back with one rounding, to nearest even.
// REQUIRES: four bytes for each double.
void WidenF32(std::span<const std::byte> bytes, std::span<double> out,
              VectorSet set = BestVectorSet());
void NarrowToF32(std::span<const double> in, std::span<std::byte> out,
                 VectorSet set = BestVectorSet());

void MultiplyAll(std::span<double> elements, double factor, VectorSet set = BestVectorSet());
// REQUIRES: a factor for each element.
void MultiplyEach(std::span<double> elements, const double* factors,
                  VectorSet set = BestVectorSet());

bool AllFinite(std::span<const double> elements, VectorSet set = BestVectorSet());
// How many magnitudes lie in [from, to]. REQUIRES: 0 <= from, and neither is NaN.
std::uint64_t CountMagnitudes(std::span<const double> elements, double from, double to,
                              VectorSet set = BestVectorSet());
// The largest magnitude that is at most `limit`, 0 where there is none.
double LargestMagnitude(std::span<const double> elements, double limit,
                        VectorSet set = BestVectorSet());

// The sum of |element * factor|: eight sums of every eighth, then these.
double SumOfMagnitudes(std::span<const double> elements, double factor,
                       VectorSet set = BestVectorSet());
// sums[i] += |elements[i] * factor|
void AddMagnitudes(std::span<const double> elements, double factor, double* sums,
                   VectorSet set = BestVectorSet());

// Compensated sums (Neumaier 1974) and the sums of the magnitudes of the same terms, side by side.
struct CompensatedSums {
  double* sum;  // the value is sum + rest
  double* rest;
  double* magnitude;
};
// terms[i] onto the i-th of the sums.
void AddCompensated(std::span<const double> terms, CompensatedSums sums,
                    VectorSet set = BestVectorSet());
// All terms onto the first of the sums, one after another.
void AddAllCompensated(std::span<const double> terms, CompensatedSums sums);

}  // namespace ckpt
