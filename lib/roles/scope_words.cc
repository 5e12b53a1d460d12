#include "roles/scope_words.h"

#include <algorithm>
#include <cctype>

namespace ckpt {
namespace {

bool IsDigit(char c) noexcept { return c >= '0' && c <= '9'; }
bool IsLower(char c) noexcept { return c >= 'a' && c <= 'z'; }

// Lower case, without the separators inside a component: "Batch_Norm" -> "batchnorm".
std::string Squeezed(std::string_view component) {
  std::string out;
  for (const char c : component) {
    if (c != '_' && c != '-') out += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return out;
}

// The words of a component, which '_' or '-' separate, lower case.
std::vector<std::string> WordsOf(std::string_view component) {
  std::vector<std::string> words(1);
  for (const char c : component) {
    if (c == '_' || c == '-') {
      words.emplace_back();
    } else {
      words.back() += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    }
  }
  return words;
}

// `stem`, a number, and after a number at most one letter: "bn", "bn2", "bn2a".
bool IsNumbered(std::string_view word, std::string_view stem) noexcept {
  if (word.substr(0, stem.size()) != stem) return false;
  word.remove_prefix(stem.size());
  const std::size_t digits =
      static_cast<std::size_t>(std::find_if_not(word.begin(), word.end(), IsDigit) - word.begin());
  if (digits == word.size()) return true;
  return digits > 0 && digits + 1 == word.size() && IsLower(word.back());
}

// "stemBN", "convBn_2": the letters close a component written in camel case.
bool EndsInCamelBn(std::string_view component) noexcept {
  component = WithoutNumber(component);
  while (!component.empty() && IsDigit(component.back())) component.remove_suffix(1);
  if (component.size() < 3) return false;
  const std::string_view end = component.substr(component.size() - 2);
  const char before = component[component.size() - 3];
  return (end == "BN" || end == "Bn") && (IsLower(before) || IsDigit(before));
}

}  // namespace

std::vector<std::string_view> Components(std::string_view name) {
  std::vector<std::string_view> components;
  while (true) {
    const std::size_t end = name.find_first_of("/.");
    components.push_back(name.substr(0, end));
    if (end == std::string_view::npos) return components;
    name.remove_prefix(end + 1);
  }
}

bool IsNumber(std::string_view word) noexcept {
  return !word.empty() && std::all_of(word.begin(), word.end(),
                                      [](unsigned char c) { return std::isdigit(c) != 0; });
}

std::string_view WithoutNumber(std::string_view component) noexcept {
  std::size_t end = component.size();
  while (end > 0 && IsDigit(component[end - 1])) --end;
  const bool numbered = end > 1 && end < component.size() && component[end - 1] == '_';
  return numbered ? component.substr(0, end - 1) : component;
}

bool SaysBatchNorm(std::string_view scope) {
  for (const std::string_view component : Components(scope)) {
    if (Squeezed(component).find("batchnorm") != std::string::npos) return true;
    if (EndsInCamelBn(component)) return true;
    const std::vector<std::string> words = WordsOf(component);
    if (std::any_of(words.begin(), words.end(),
                    [](const std::string& word) { return IsNumbered(word, "bn"); })) {
      return true;
    }
  }
  return false;
}

bool SaysOtherNorm(std::string_view scope) {
  static constexpr std::string_view kNames[] = {"layernorm",    "groupnorm",  "instancenorm",
                                                "rmsnorm",      "weightnorm", "spectralnorm",
                                                "responsenorm", "evonorm"};
  static constexpr std::string_view kShort[] = {"ln", "gn", "lnf"};
  const std::vector<std::string_view> components = Components(scope);
  const std::string_view last = components.back();
  const std::string squeezed = Squeezed(last);
  if (std::any_of(std::begin(kNames), std::end(kNames), [&](std::string_view name) {
        return squeezed.find(name) != std::string::npos;
      })) {
    return true;
  }
  const std::vector<std::string> words = WordsOf(last);
  return std::any_of(words.begin(), words.end(), [](const std::string& word) {
    return std::any_of(std::begin(kShort), std::end(kShort),
                       [&](std::string_view stem) { return IsNumbered(word, stem); });
  });
}

bool SaysNorm(std::string_view component) {
  return Squeezed(component).find("norm") != std::string::npos;
}

std::string NamingPattern(std::string_view scope) {
  std::string pattern;
  for (const char c : scope) {
    if (!IsDigit(c)) {
      pattern += c;
    } else if (pattern.empty() || pattern.back() != '#') {
      pattern += '#';
    }
  }
  return pattern;
}

}  // namespace ckpt
