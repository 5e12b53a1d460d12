#include "diff/mapping_text.h"

#include <map>
#include <vector>

namespace ckpt {
namespace {

std::string Words(MatchedBy by) {
  switch (by) {
    case MatchedBy::kName:
      return "names";
    case MatchedBy::kRename:
      return "given names";
    case MatchedBy::kStoredAs:
      return "keys of the file";
    case MatchedBy::kPrefix:
      return "names without a prefix";
    case MatchedBy::kConvention:
      return "conventions of naming";
    case MatchedBy::kContent:
      return "content";
    case MatchedBy::kFactors:
      return "content but for a factor per channel";
    case MatchedBy::kLayer:
      return "layers";
    case MatchedBy::kOrder:
      return "order, where values are the same";
  }
  return {};
}

std::string Prefixes(const Matching& matching) {
  std::string text;
  if (!matching.prefix_a.empty()) text += ", after stripping \"" + matching.prefix_a + "\" in A";
  if (!matching.prefix_b.empty()) {
    text += (matching.prefix_a.empty() ? ", after stripping \"" : " and \"") + matching.prefix_b +
            "\" in B";
  }
  return text;
}

struct Counts {
  std::map<MatchedBy, std::size_t> pairs;
  std::size_t reordered = 0;

  bool names_alone() const {
    return pairs.empty() ||
           (pairs.rbegin()->first <= MatchedBy::kPrefix && !pairs.contains(MatchedBy::kStoredAs));
  }
};

Counts CountsOf(const Matching& matching) {
  Counts counts;
  for (const Match& match : matching.matches) {
    if (!match.a || !match.b) continue;
    ++counts.pairs[match.by];
    if (match.order_of_b && !IsIdentity(*match.order_of_b)) ++counts.reordered;
  }
  return counts;
}

}  // namespace

bool IsByNamesAlone(const Matching& matching) {
  const Counts counts = CountsOf(matching);
  return counts.names_alone() && counts.reordered == 0 && matching.prefix_a.empty() &&
         matching.prefix_b.empty();
}

std::string MappingText(const Matching& matching) {
  const Counts counts = CountsOf(matching);
  std::string text;
  if (counts.names_alone()) {
    text = "names" + Prefixes(matching);
  } else {
    std::size_t left = counts.pairs.size();
    for (const auto& [by, count] : counts.pairs) {
      text += (text.empty() ? ""
               : left == 1  ? " and "
                            : ", ") +
              Words(by) + " (" + std::to_string(count) + ")";
      --left;
    }
    text += Prefixes(matching);
  }
  if (counts.reordered > 0)
    text += "; " + std::to_string(counts.reordered) + " in another order of axes";
  return text;
}

}  // namespace ckpt
