#include "audit/parent_mixture.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

namespace ckpt::audit {
namespace {

using ParentVectors = std::vector<std::vector<double>>;

bool IsFinite(const std::vector<double>& x, const ParentVectors& parents, std::size_t i) {
  return std::isfinite(x[i]) && std::all_of(parents.begin(), parents.end(),
                                            [&](const auto& p) { return std::isfinite(p[i]); });
}

// Of the squares of distances.
double NearestParent(const std::vector<double>& x, const ParentVectors& parents) {
  double nearest = std::numeric_limits<double>::infinity();
  for (const auto& parent : parents) {
    double sum = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (IsFinite(x, parents, i)) sum += (x[i] - parent[i]) * (x[i] - parent[i]);
    }
    nearest = std::min(nearest, sum);
  }
  return nearest;
}

// Solves the symmetric system in place by elimination; what no equation settles becomes 0.
std::vector<double> Solve(ParentVectors matrix, std::vector<double> right) {
  const std::size_t n = right.size();
  double largest = 0;
  for (std::size_t i = 0; i < n; ++i) largest = std::max(largest, matrix[i][i]);
  std::vector<bool> settled(n);
  for (std::size_t column = 0; column < n; ++column) {
    const double pivot = matrix[column][column];
    settled[column] = pivot > largest * 1e-12;
    if (!settled[column]) continue;
    for (std::size_t row = 0; row < n; ++row) {
      if (row == column) continue;
      const double factor = matrix[row][column] / pivot;
      for (std::size_t k = column; k < n; ++k) matrix[row][k] -= factor * matrix[column][k];
      right[row] -= factor * right[column];
    }
  }
  std::vector<double> solution(n);
  for (std::size_t i = 0; i < n; ++i) solution[i] = settled[i] ? right[i] / matrix[i][i] : 0;
  return solution;
}

}  // namespace

std::optional<double> MisfitOf(const std::vector<double>& x, const ParentVectors& parents,
                               const std::vector<double>& weights) {
  const double nearest = NearestParent(x, parents);
  if (!(nearest > 0)) return std::nullopt;
  double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (!IsFinite(x, parents, i)) continue;
    double rest = x[i];
    for (std::size_t p = 0; p < parents.size(); ++p) rest -= weights[p] * parents[p][i];
    sum += rest * rest;
  }
  return std::sqrt(sum / nearest);
}

std::optional<Mixture> FitMixture(const std::vector<double>& x, const ParentVectors& parents) {
  const std::size_t n = parents.size() - 1;
  ParentVectors gram(n, std::vector<double>(n));
  std::vector<double> right(n), difference(n);
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (!IsFinite(x, parents, i)) continue;
    for (std::size_t p = 0; p < n; ++p) difference[p] = parents[p + 1][i] - parents[0][i];
    for (std::size_t p = 0; p < n; ++p) {
      right[p] += difference[p] * (x[i] - parents[0][i]);
      for (std::size_t q = 0; q < n; ++q) gram[p][q] += difference[p] * difference[q];
    }
  }
  const std::vector<double> solution = Solve(std::move(gram), std::move(right));
  Mixture mixture{{1}, 0};
  for (const double weight : solution) {
    mixture.weights.push_back(weight);
    mixture.weights[0] -= weight;
  }
  const std::optional<double> misfit = MisfitOf(x, parents, mixture.weights);
  if (!misfit) return std::nullopt;
  mixture.misfit = *misfit;
  return mixture;
}

}  // namespace ckpt::audit
