#include "diff/match.h"

#include <fnmatch.h>

#include <algorithm>
#include <map>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>

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

std::string_view Stripped(std::string_view name, std::string_view prefix) {
  return StartsWith(name, prefix) ? name.substr(prefix.size()) : name;
}

std::size_t CountAgreeing(const Names& a, std::string_view prefix_a, const Names& b,
                          std::string_view prefix_b) {
  std::unordered_set<std::string_view> names;
  names.reserve(b.size());
  for (const std::string_view name : b) names.insert(Stripped(name, prefix_b));
  return static_cast<std::size_t>(std::count_if(a.begin(), a.end(), [&](std::string_view name) {
    return names.count(Stripped(name, prefix_a)) != 0;
  }));
}

// Sets the prefixes that make most names agree, if that is at least half of the smaller side and
// more than without any.
void ChoosePrefixes(const Names& a, const Names& b, Matching& matching) {
  matching.of = std::min(a.size(), b.size());
  matching.agreeing = CountAgreeing(a, {}, b, {});
  if (matching.agreeing == matching.of) return;
  for (const std::string_view prefix_a : SharedPrefixes(a)) {
    for (const std::string_view prefix_b : SharedPrefixes(b)) {
      const std::size_t agreeing = CountAgreeing(a, prefix_a, b, prefix_b);
      if (agreeing <= matching.agreeing || 2 * agreeing < matching.of) continue;
      matching.agreeing = agreeing;
      matching.prefix_a = prefix_a;
      matching.prefix_b = prefix_b;
    }
  }
}

// Pairs tensors and keeps what is left on either side.
class Pairs {
 public:
  Pairs(const Manifest& a, const Manifest& b)
      : a_(a), b_(b), partner_(a.tensors.size()), taken_(b.tensors.size(), false) {}

  void Pair(std::size_t a, TensorId b) {
    if (partner_[a] || taken_[b.index]) return;
    partner_[a] = b;
    taken_[b.index] = true;
  }

  // By the names that remain without these prefixes.
  void PairByName(std::string_view prefix_a, std::string_view prefix_b,
                  const std::vector<bool>& except) {
    std::unordered_map<std::string_view, TensorId> ids;
    for (std::uint32_t i = 0; i < b_.tensors.size(); ++i) {
      if (!taken_[i]) ids.emplace(Stripped(b_.tensors[i].name, prefix_b), TensorId{i});
    }
    for (std::size_t i = 0; i < partner_.size(); ++i) {
      if (partner_[i] || except[i]) continue;
      const auto found = ids.find(Stripped(a_.tensors[i].name, prefix_a));
      if (found != ids.end()) Pair(i, found->second);
    }
  }

  std::vector<Match> Take() const {
    std::vector<Match> matches;
    for (std::uint32_t i = 0; i < partner_.size(); ++i) {
      matches.push_back({TensorId{i}, partner_[i]});
    }
    for (std::uint32_t i = 0; i < taken_.size(); ++i) {
      if (!taken_[i]) matches.push_back({{}, TensorId{i}});
    }
    const auto name = [&](const Match& match) -> const std::string& {
      return match.a ? a_.tensors[match.a->index].name : b_.tensors[match.b->index].name;
    };
    std::stable_sort(matches.begin(), matches.end(),
                     [&](const Match& x, const Match& y) { return name(x) < name(y); });
    return matches;
  }

 private:
  const Manifest& a_;
  const Manifest& b_;
  std::vector<std::optional<TensorId>> partner_;  // of each tensor of A
  std::vector<bool> taken_;                       // of B
};

}  // namespace

bool IsTrainingState(const TensorInfo& info, const TensorRole& role) noexcept {
  if (info.section != Section::kModel) return true;
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

bool MatchesAny(const std::vector<std::string>& globs, const TensorInfo& info) {
  return std::any_of(globs.begin(), globs.end(), [&](const std::string& glob) {
    return fnmatch(glob.c_str(), info.name.c_str(), 0) == 0 ||
           fnmatch(glob.c_str(), info.stored_as.c_str(), 0) == 0;
  });
}

Result<Matching> MatchTensors(const Manifest& a, const Analysis& analysis_a, const Manifest& b,
                              const Analysis& analysis_b, const DiffOptions& options) {
  Matching matching;
  Pairs pairs(a, b);
  std::vector<bool> renamed(a.tensors.size(), false);
  for (const auto& [from, to] : options.rename) {
    const std::optional<TensorId> source = FindTensor(a, from);
    if (!source) {
      return Fail(ErrorCode::kInvalidArgument, "cannot rename \"" + EscapeForDisplay(from) +
                                                   "\": the first checkpoint has none");
    }
    renamed[source->index] = true;
    if (const auto target = FindTensor(b, to)) pairs.Pair(source->index, *target);
  }
  ChoosePrefixes(ModelNames(a, analysis_a), ModelNames(b, analysis_b), matching);
  pairs.PairByName({}, {}, renamed);
  if (!matching.prefix_a.empty() || !matching.prefix_b.empty()) {
    pairs.PairByName(matching.prefix_a, matching.prefix_b, renamed);
  }
  matching.matches = pairs.Take();
  return matching;
}

}  // namespace ckpt
