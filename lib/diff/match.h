// Decides which tensor of A is compared with which tensor of B.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ckpt/axis_order.h"
#include "ckpt/diff.h"

namespace ckpt {

struct Match {
  std::optional<TensorId> a, b;  // one is empty: added or removed
  MatchedBy by = MatchedBy::kName;
  // The order in which B's elements are compared with A's; absent: as they are.
  std::optional<AxisOrder> order_of_b = {};
  std::string note = {};  // how an ambiguity was settled
};

struct Matching {
  std::vector<Match> matches;      // see SortMatches
  std::string prefix_a, prefix_b;  // stripped before names were compared
  // Names of the model's tensors that agree, of how many there are on the smaller side.
  std::size_t agreeing = 0, of = 0;
  // The names are of two frameworks, or few of them agree: names alone settle little.
  bool across = false;
};

// By name, after renaming; where few names agree, after stripping the prefix that most names of one
// or of both sides share ("module.", a scope). Filters of the options are not applied here.
Result<Matching> MatchByNames(const Manifest& a, const Analysis& analysis_a, const Manifest& b,
                              const Analysis& analysis_b, const DiffOptions& options);

// In natural order of the name in A, or in B for added tensors.
void SortMatches(const Manifest& a, const Manifest& b, std::vector<Match>& matches);

// The prefixes, separators included, without which most of these names agree; empty where none are
// needed. `agreeing` is how many do, `of` how many there are on the smaller side.
struct CommonPrefixes {
  std::string prefix_a, prefix_b;
  std::size_t agreeing = 0, of = 0;
};
CommonPrefixes ChoosePrefixes(const std::vector<std::string_view>& a,
                              const std::vector<std::string_view>& b);
std::string_view WithoutPrefix(std::string_view name, std::string_view prefix);

// What only training needs: slots, shadows, steps, counters, helpers of statistics, bookkeeping.
bool IsTrainingState(const TensorInfo& info, const TensorRole& role) noexcept;

}  // namespace ckpt
