#include "roles/tensor_name.h"

#include <algorithm>
#include <cctype>
#include <string>
#include <vector>

#include "roles/scope_words.h"

namespace ckpt {
namespace {

constexpr std::size_t kMaxLeafComponents = 4;

bool IsPart(std::string_view component) {
  constexpr std::string_view kPart = "part_";
  return component.substr(0, kPart.size()) == kPart && component.size() > kPart.size() &&
         std::all_of(component.begin() + kPart.size(), component.end(),
                     [](unsigned char c) { return std::isdigit(c) != 0; });
}

std::string_view WithoutDecoration(std::string_view name) {
  const std::size_t colon = name.rfind(':');
  if (colon != std::string_view::npos && name.substr(colon) == ":0") name = name.substr(0, colon);
  const std::size_t slash = name.rfind('/');
  if (slash != std::string_view::npos && IsPart(name.substr(slash + 1))) {
    name = name.substr(0, slash);
  }
  return name;
}

// `name` up to the separator before its last `count` components.
std::string_view ScopeBefore(std::string_view name, std::string_view first_of_leaf) {
  const auto length = static_cast<std::size_t>(first_of_leaf.data() - name.data());
  return length == 0 ? std::string_view() : name.substr(0, length - 1);
}

std::string_view WithoutTree(std::string_view scope) {
  for (const std::string_view tree : {"params", "batch_stats"}) {
    if (scope == tree) return {};
    if (scope.size() > tree.size() && scope.substr(0, tree.size()) == tree &&
        (scope[tree.size()] == '/' || scope[tree.size()] == '.')) {
      return scope.substr(tree.size() + 1);
    }
  }
  // Haiku keeps the averages of a layer's statistics in a child of its own.
  constexpr std::string_view kChild = "/~";
  if (scope.size() > kChild.size() && scope.substr(scope.size() - kChild.size()) == kChild) {
    scope.remove_suffix(kChild.size());
  }
  return scope;
}

// "bn_a_gamma": the longest joinable leaf behind an underscore.
ParsedName ParseJoined(std::string_view name, std::string_view last) {
  for (std::size_t at = last.find('_'); at != std::string_view::npos; at = last.find('_', at + 1)) {
    if (at == 0) continue;
    const Leaf* leaf = FindLeaf(last.substr(at + 1));
    if (leaf != nullptr && leaf->joinable) {
      const auto end = static_cast<std::size_t>(last.data() - name.data()) + at;
      return {WithoutTree(name.substr(0, end)), leaf, false, true};
    }
  }
  return {};
}

ParsedName ParseLeaf(std::string_view name) {
  const std::vector<std::string_view> components = Components(name);
  const std::size_t longest = std::min(kMaxLeafComponents, components.size());
  for (std::size_t count = longest; count > 0; --count) {
    std::string joined;
    for (std::size_t i = components.size() - count; i < components.size(); ++i) {
      if (!joined.empty()) joined += '/';
      joined += components[i];
    }
    if (const Leaf* leaf = FindLeaf(joined)) {
      const std::string_view first = components[components.size() - count];
      return {WithoutTree(ScopeBefore(name, first)), leaf};
    }
  }
  return ParseJoined(name, components.back());
}

}  // namespace

ParsedName ParseName(std::string_view name) {
  name = WithoutDecoration(name);
  for (const std::string_view helper : {"/biased", "/local_step"}) {
    if (name.size() <= helper.size() || name.substr(name.size() - helper.size()) != helper)
      continue;
    ParsedName parsed = ParseLeaf(name.substr(0, name.size() - helper.size()));
    if (parsed.leaf == nullptr ||
        (parsed.leaf->part != Part::kMean && parsed.leaf->part != Part::kVariance)) {
      return {};
    }
    parsed.of_statistic = true;
    return parsed;
  }
  return ParseLeaf(name);
}

std::string_view NumberBehind(std::string_view name) {
  name = WithoutDecoration(name);
  const std::string_view last = Components(name).back();
  return last.substr(WithoutNumber(last).size());
}

std::vector<ParsedName> ParseAnyJoined(std::string_view name) {
  name = WithoutDecoration(name);
  const std::string_view last = Components(name).back();
  std::vector<ParsedName> readings;
  for (std::size_t at = last.find('_'); at != std::string_view::npos; at = last.find('_', at + 1)) {
    const Leaf* leaf = at == 0 ? nullptr : FindLeaf(last.substr(at + 1));
    if (leaf == nullptr) continue;
    const auto end = static_cast<std::size_t>(last.data() - name.data()) + at;
    readings.push_back({WithoutTree(name.substr(0, end)), leaf, false, true});
  }
  return readings;
}

}  // namespace ckpt
