// Is a vector a weighted average of others?
#pragma once

#include <optional>
#include <vector>

namespace ckpt::audit {

struct Mixture {
  std::vector<double> weights;  // of the parents; their sum is 1, and some may be negative
  // |x - sum of weights * parents| / |x - the nearest parent|: rounding alone leaves far below 1.
  double misfit = 0;
};

// The least squares fit of x by an affine combination of the parents: plain and weighted averages,
// and task arithmetic (base + factor * (tuned - base)), all have weights whose sum is 1. Nothing
// where x is one of the parents, or those are all the same. REQUIRES: a parent at least, all of the
// size of x. Elements that are not finite in one of them are left out.
std::optional<Mixture> FitMixture(const std::vector<double>& x,
                                  const std::vector<std::vector<double>>& parents);
// The misfit of given weights; nothing where x is one of the parents.
std::optional<double> MisfitOf(const std::vector<double>& x,
                               const std::vector<std::vector<double>>& parents,
                               const std::vector<double>& weights);

}  // namespace ckpt::audit
