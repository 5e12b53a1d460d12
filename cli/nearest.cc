#include "cli/nearest.h"

#include <algorithm>
#include <cstdlib>

#include "ckpt/audit.h"
#include "ckpt/formats/format.h"

namespace ckpt::cli {
namespace {

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

// Optimal string alignment: the distance of Damerau and Levenshtein in which no part is changed
// twice. https://doi.org/10.1145/363958.363994
std::size_t Slips(std::string_view a, std::string_view b) {
  std::vector<std::vector<std::size_t>> least(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) {
    for (std::size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        least[i][j] = i + j;
        continue;
      }
      const bool same = Lower(a[i - 1]) == Lower(b[j - 1]);
      least[i][j] = std::min(
          {least[i - 1][j] + 1, least[i][j - 1] + 1, least[i - 1][j - 1] + (same ? 0U : 1U)});
      const bool exchanged = i > 1 && j > 1 && Lower(a[i - 1]) == Lower(b[j - 2]) &&
                             Lower(a[i - 2]) == Lower(b[j - 1]);
      if (exchanged) least[i][j] = std::min(least[i][j], least[i - 2][j - 2] + 1);
    }
  }
  return least[a.size()][b.size()];
}

}  // namespace

std::string Nearest(std::string_view word, const std::vector<std::string>& words) {
  constexpr std::size_t kLongest = 64;  // no word here is longer
  if (word.size() > kLongest) return {};
  std::size_t best = std::min<std::size_t>(3, std::max<std::size_t>(1, word.size() / 3)) + 1;
  std::string nearest;
  for (const std::string& candidate : words) {
    const std::size_t slips = Slips(word, candidate);
    if (slips >= best) continue;
    best = slips;
    nearest = candidate;
  }
  return nearest;
}

std::string DidYouMean(std::string_view word, const std::vector<std::string>& words) {
  const std::string nearest = Nearest(word, words);
  return nearest.empty() ? "" : "; did you mean " + nearest + "?";
}

std::vector<std::string> FormatNames() {
  std::vector<std::string> names;
  for (const formats::Format& format : formats::BuiltinFormats()) names.emplace_back(format.name);
  return names;
}

std::vector<std::string> RuleWords() {
  std::vector<std::string> words;
  for (const Rule& rule : Rules())
    words.insert(words.end(), {std::string(rule.id), std::string(rule.name)});
  return words;
}

namespace {

// "BN001" of "bn1": letters, and a number that lacks its zeros; else empty.
std::string WithZeros(std::string_view word) {
  constexpr std::size_t kDigits = 3;
  const std::size_t letters = std::min(word.find_first_of("0123456789"), word.size());
  const std::string_view digits = word.substr(letters);
  if (digits.empty() || digits.size() > kDigits ||
      digits.find_first_not_of("0123456789") != std::string_view::npos) {
    return {};
  }
  return std::string(word.substr(0, letters)) + std::string(kDigits - digits.size(), '0') +
         std::string(digits);
}

}  // namespace

std::string NoSuchRule(std::string_view word) {
  const Rule* const padded = FindRule(WithZeros(word));
  const std::string meant = padded != nullptr ? "; did you mean " + std::string(padded->id) + "?"
                                              : DidYouMean(word, RuleWords());
  return "there is no rule \"" + std::string(word) + "\"" +
         (meant.empty() ? "; `ckpt explain` lists them" : meant);
}

}  // namespace ckpt::cli
