// Decides which tensor of A is compared with which tensor of B.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ckpt/diff.h"

namespace ckpt {

struct Match {
  std::optional<TensorId> a, b;  // one is empty: added or removed
};

struct Matching {
  std::vector<Match> matches;      // sorted by the name in A, or in B for added tensors
  std::string prefix_a, prefix_b;  // stripped before names were compared
  // Names of the model's tensors that agree, of how many there are on the smaller side.
  std::size_t agreeing = 0, of = 0;
};

// By name, after renaming; where few names agree, after stripping the prefix that most names of one
// or of both sides share ("module.", a scope). Filters of the options are not applied here.
Result<Matching> MatchTensors(const Manifest& a, const Analysis& analysis_a, const Manifest& b,
                              const Analysis& analysis_b, const DiffOptions& options);

// What only training needs: slots, shadows, steps, counters, helpers of statistics, bookkeeping.
bool IsTrainingState(const TensorInfo& info, const TensorRole& role) noexcept;

// Does a shell pattern ("conv*/kernel", '*' also matches '/') match the name or the stored name?
bool MatchesAny(const std::vector<std::string>& globs, const TensorInfo& info);

}  // namespace ckpt
