#include "roles/named_scopes.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "roles/scope_words.h"
#include "roles/tensor_name.h"

namespace ckpt {
namespace {

// The owner that a file records wins over the path in the name.
ParsedName ParseTensor(const TensorInfo& info) {
  if (!info.owner.empty() && !info.local_name.empty()) {
    ParsedName parsed = ParseName(info.local_name);
    if (parsed.leaf != nullptr) {
      parsed.scope = parsed.scope.empty() ? info.owner : info.owner + '/' + parsed.scope;
      return parsed;
    }
  }
  return ParseName(info.name);
}

bool IsStatistic(const Leaf& leaf) noexcept {
  return leaf.part == Part::kMean || leaf.part == Part::kVariance;
}

// Created by an operation, so that the operation's scope stands in the name.
bool IsFromOperation(const ParsedName& parsed) {
  return parsed.of_statistic || parsed.leaf->part == Part::kExtra ||
         parsed.leaf->leaf.substr(0, 8) == "moments/";
}

// `rest` is what an operation's name scope adds to its variable scope: the scope once more, with or
// without a number, or a branch of a tf.cond.
bool IsOperationScope(std::string_view scope, std::string_view rest) {
  const std::vector<std::string_view> words = Components(rest);
  if (WithoutNumber(words.back()) == WithoutNumber(Components(scope).back())) return true;
  return std::all_of(words.begin(), words.end(), [](std::string_view word) {
    const std::string_view plain = WithoutNumber(word);
    return plain == "cond" || plain == "batchnorm" || plain == "moments";
  });
}

// The layer's scope, the longest one known that `scope` lies in; or `scope` without its repetition.
std::string LayerScope(const std::string& scope, const std::unordered_set<std::string>& layers) {
  if (layers.count(scope) != 0) return scope;
  for (std::size_t end = scope.rfind('/'); end != std::string::npos && end > 0;
       end = scope.rfind('/', end - 1)) {
    const std::string outer = scope.substr(0, end);
    const std::string_view rest = std::string_view(scope).substr(end + 1);
    if (layers.count(outer) != 0 && IsOperationScope(outer, rest)) return outer;
    if (outer == rest) return outer;
  }
  return scope;
}

}  // namespace

const NamedScope::Member* NamedScope::Find(std::string_view leaf) const {
  const auto found = std::find_if(members.begin(), members.end(), [&](const Member& member) {
    return !member.helper && member.leaf->leaf == leaf;
  });
  return found == members.end() ? nullptr : &*found;
}

std::vector<NamedScope> GroupByScope(const Manifest& manifest, const std::vector<bool>& usable) {
  std::vector<ParsedName> parsed(manifest.tensors.size());
  std::unordered_set<std::string> layers;
  for (std::uint32_t i = 0; i < parsed.size(); ++i) {
    if (!usable[i]) continue;
    parsed[i] = ParseTensor(manifest.tensors[i]);
    const Leaf* leaf = parsed[i].leaf;
    if (leaf == nullptr || IsFromOperation(parsed[i])) continue;
    if (IsStatistic(*leaf) || leaf->part == Part::kGamma || leaf->part == Part::kBeta) {
      layers.insert(parsed[i].scope);
    }
  }
  std::unordered_map<std::string, std::size_t> positions;
  std::vector<NamedScope> scopes;
  for (std::uint32_t i = 0; i < parsed.size(); ++i) {
    if (parsed[i].leaf == nullptr) continue;
    const std::string scope =
        IsFromOperation(parsed[i]) ? LayerScope(parsed[i].scope, layers) : parsed[i].scope;
    const auto [position, added] = positions.emplace(scope, scopes.size());
    if (added) scopes.push_back({scope, {}});
    scopes[position->second].members.push_back(
        {parsed[i].leaf, TensorId{i}, parsed[i].of_statistic});
  }
  std::sort(scopes.begin(), scopes.end(),
            [](const NamedScope& a, const NamedScope& b) { return NaturalLess(a.scope, b.scope); });
  return scopes;
}

}  // namespace ckpt
