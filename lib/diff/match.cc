#include "diff/match.h"

#include <algorithm>
#include <map>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "ckpt/natural_order.h"
#include "diff/possible_orders.h"

namespace ckpt {
namespace {

using Names = std::vector<std::string_view>;

// Deeper prefixes than this are no prefix but half of a name.
constexpr std::size_t kMaxPrefixDepth = 6;

Names ModelNames(const Manifest& manifest, const Analysis& analysis) {
  Names names;
  for (std::size_t i = 0; i < manifest.tensors.size(); ++i) {
    if (!IsTrainingState(manifest.tensors[i], analysis.roles[i])) {
      names.push_back(manifest.tensors[i].name);
    }
  }
  return names;
}

std::string_view FirstComponent(std::string_view name) {
  const std::size_t end = name.find_first_of("/.");
  return end == std::string_view::npos ? std::string_view() : name.substr(0, end + 1);
}

bool StartsWith(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

// The prefixes, separator included, that more than half of the names share; the empty one first.
std::vector<std::string_view> SharedPrefixes(const Names& names) {
  std::vector<std::string_view> prefixes = {std::string_view()};
  std::map<std::string_view, std::size_t> first;
  for (const std::string_view name : names) ++first[FirstComponent(name)];
  std::string_view root;
  for (const auto& [component, count] : first) {
    if (2 * count > names.size()) root = component;
  }
  if (root.empty()) return prefixes;
  std::optional<std::string_view> common;
  for (const std::string_view name : names) {
    if (!StartsWith(name, root)) continue;
    if (!common) common = name;
    const auto end = std::mismatch(common->begin(), common->end(), name.begin(), name.end()).first;
    common = common->substr(0, static_cast<std::size_t>(end - common->begin()));
  }
  for (std::size_t i = 0; i < common->size() && prefixes.size() <= kMaxPrefixDepth; ++i) {
    const char c = (*common)[i];
    if (c == '/' || c == '.') prefixes.push_back(common->substr(0, i + 1));
  }
  return prefixes;
}

std::size_t CountAgreeing(const Names& a, std::string_view prefix_a, const Names& b,
                          std::string_view prefix_b) {
  std::unordered_set<std::string_view> names;
  names.reserve(b.size());
  for (const std::string_view name : b) names.insert(WithoutPrefix(name, prefix_b));
  return static_cast<std::size_t>(std::count_if(a.begin(), a.end(), [&](std::string_view name) {
    return names.count(WithoutPrefix(name, prefix_a)) != 0;
  }));
}

// Pairs tensors and keeps what is left on either side.
class Pairs {
 public:
  Pairs(const Manifest& a, const Manifest& b)
      : a_(a),
        b_(b),
        partner_(a.tensors.size()),
        by_(a.tensors.size()),
        taken_(b.tensors.size(), false) {}

  void Pair(std::size_t a, TensorId b, MatchedBy by) {
    if (partner_[a] || taken_[b.index]) return;
    partner_[a] = b;
    by_[a] = by;
    taken_[b.index] = true;
  }

  // By the names that remain without these prefixes.
  void PairByName(std::string_view prefix_a, std::string_view prefix_b,
                  const std::vector<bool>& except, MatchedBy by) {
    std::unordered_map<std::string_view, TensorId> ids;
    for (std::uint32_t i = 0; i < b_.tensors.size(); ++i) {
      if (!taken_[i]) ids.emplace(WithoutPrefix(b_.tensors[i].name, prefix_b), TensorId{i});
    }
    for (std::size_t i = 0; i < partner_.size(); ++i) {
      if (partner_[i] || except[i]) continue;
      const auto found = ids.find(WithoutPrefix(a_.tensors[i].name, prefix_a));
      if (found != ids.end()) Pair(i, found->second, by);
    }
  }

  // By the files' own keys.
  void PairByKey(const std::vector<bool>& except) {
    std::unordered_map<std::string_view, TensorId> ids;
    for (std::uint32_t i = 0; i < b_.tensors.size(); ++i)
      if (!taken_[i]) ids.emplace(b_.tensors[i].stored_as, TensorId{i});
    for (std::size_t i = 0; i < partner_.size(); ++i) {
      if (partner_[i] || except[i]) continue;
      const auto found = ids.find(a_.tensors[i].stored_as);
      if (found != ids.end()) Pair(i, found->second, MatchedBy::kStoredAs);
    }
  }

  std::vector<Match> Take() const {
    std::vector<Match> matches;
    for (std::uint32_t i = 0; i < partner_.size(); ++i) {
      matches.push_back({TensorId{i}, partner_[i], by_[i]});
    }
    for (std::uint32_t i = 0; i < taken_.size(); ++i) {
      if (!taken_[i]) matches.push_back({{}, TensorId{i}});
    }
    SortMatches(a_, b_, matches);
    return matches;
  }

 private:
  const Manifest& a_;
  const Manifest& b_;
  std::vector<std::optional<TensorId>> partner_;  // of each tensor of A
  std::vector<MatchedBy> by_;
  std::vector<bool> taken_;  // of B
};

using KeyOf = std::string_view (*)(const TensorInfo&);

// How many tensors of the model have a counterpart of the same key and as many elements.
std::size_t CountFitting(const Manifest& a, const Analysis& analysis_a, const Manifest& b,
                         const Analysis& analysis_b, KeyOf key_of) {
  std::unordered_map<std::string_view, std::uint64_t> elements;
  for (std::size_t i = 0; i < b.tensors.size(); ++i) {
    if (!IsTrainingState(b.tensors[i], analysis_b.roles[i]))
      elements.emplace(key_of(b.tensors[i]), b.tensors[i].shape.element_count());
  }
  std::size_t fitting = 0;
  for (std::size_t i = 0; i < a.tensors.size(); ++i) {
    if (IsTrainingState(a.tensors[i], analysis_a.roles[i])) continue;
    const auto found = elements.find(key_of(a.tensors[i]));
    if (found != elements.end() && found->second == a.tensors[i].shape.element_count()) ++fitting;
  }
  return fitting;
}

}  // namespace

void SortMatches(const Manifest& a, const Manifest& b, std::vector<Match>& matches) {
  const auto name = [&](const Match& match) -> const std::string& {
    return match.a ? a.tensors[match.a->index].name : b.tensors[match.b->index].name;
  };
  std::stable_sort(matches.begin(), matches.end(),
                   [&](const Match& x, const Match& y) { return NaturalLess(name(x), name(y)); });
}

std::string_view WithoutPrefix(std::string_view name, std::string_view prefix) {
  return StartsWith(name, prefix) ? name.substr(prefix.size()) : name;
}

// Prefixes have to make at least half of the smaller side agree, and more than none do.
CommonPrefixes ChoosePrefixes(const Names& a, const Names& b) {
  CommonPrefixes chosen;
  chosen.of = std::min(a.size(), b.size());
  chosen.agreeing = CountAgreeing(a, {}, b, {});
  if (chosen.agreeing == chosen.of) return chosen;
  for (const std::string_view prefix_a : SharedPrefixes(a)) {
    for (const std::string_view prefix_b : SharedPrefixes(b)) {
      const std::size_t agreeing = CountAgreeing(a, prefix_a, b, prefix_b);
      if (agreeing <= chosen.agreeing || 2 * agreeing < chosen.of) continue;
      chosen.agreeing = agreeing;
      chosen.prefix_a = prefix_a;
      chosen.prefix_b = prefix_b;
    }
  }
  return chosen;
}

bool IsTrainingState(const TensorInfo& info, const TensorRole& role) noexcept {
  if (info.section == Section::kOptimizer || info.section == Section::kBookkeeping) return true;
  switch (role.role) {
    case Role::kOptimizerSlot:
    case Role::kEmaShadow:
    case Role::kStep:
    case Role::kBatchCounter:
    case Role::kBnExtra:
      return true;
    default:
      return false;
  }
}

Result<Matching> MatchByNames(const Manifest& a, const Analysis& analysis_a, const Manifest& b,
                              const Analysis& analysis_b, const DiffOptions& options) {
  Matching matching;
  Pairs pairs(a, b);
  std::vector<bool> renamed(a.tensors.size(), false);
  for (const auto& [from, to] : options.rename) {
    const std::optional<TensorId> source = FindTensor(a, from);
    if (!source) {
      return Fail(ErrorCode::kInvalidArgument,
                  "cannot rename \"" + from + "\": the first checkpoint has none");
    }
    renamed[source->index] = true;
    if (const auto target = FindTensor(b, to))
      pairs.Pair(source->index, *target, MatchedBy::kRename);
  }
  const CommonPrefixes prefixes =
      ChoosePrefixes(ModelNames(a, analysis_a), ModelNames(b, analysis_b));
  matching.prefix_a = prefixes.prefix_a;
  matching.prefix_b = prefixes.prefix_b;
  matching.agreeing = prefixes.agreeing;
  matching.of = prefixes.of;
  // Names that a program numbers anew in each run pair other layers, or none; a file's own keys
  // that say where an object stands do not change.
  const std::size_t by_name =
      CountFitting(a, analysis_a, b, analysis_b,
                   [](const TensorInfo& info) -> std::string_view { return info.name; });
  const std::size_t by_key =
      CountFitting(a, analysis_a, b, analysis_b,
                   [](const TensorInfo& info) -> std::string_view { return info.stored_as; });
  const bool plain = matching.prefix_a.empty() && matching.prefix_b.empty();
  if (plain) matching.agreeing = by_name;
  if (by_key > matching.agreeing) {
    pairs.PairByKey(renamed);
    matching.agreeing = by_key;
    matching.prefix_a = matching.prefix_b = {};
  }
  pairs.PairByName({}, {}, renamed, MatchedBy::kName);
  if (!matching.prefix_a.empty() || !matching.prefix_b.empty()) {
    pairs.PairByName(matching.prefix_a, matching.prefix_b, renamed, MatchedBy::kPrefix);
  }
  matching.across =
      DirectionOf(analysis_a.framework, analysis_b.framework) != Direction::kUnknown ||
      2 * matching.agreeing < matching.of;
  matching.matches = pairs.Take();
  return matching;
}

}  // namespace ckpt
