#include "roles/named_scopes.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "ckpt/natural_order.h"
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

namespace {

// A name that no table knows, read with what the names of its neighbours say.
struct Reading {
  ParsedName parsed;
  std::string number = {};  // "_1"
};

// Scopes whose statistics have names of a kind: behind an underscore, or with a number at the end.
struct StatisticScopes {
  std::unordered_set<std::string> joined, numbered;  // of the latter with the number
};

Reading ReadNumbered(const TensorInfo& info) {
  const std::string_view number = NumberBehind(info.name);
  if (number.empty()) return {};
  std::string_view plain = info.name;
  plain = plain.substr(0, static_cast<std::size_t>(number.data() - plain.data()));
  ParsedName parsed = ParseName(plain);
  if (parsed.leaf == nullptr || !parsed.leaf->joinable || IsFromOperation(parsed)) return {};
  const Part part = parsed.leaf->part;
  if (!IsStatistic(*parsed.leaf) && part != Part::kGamma && part != Part::kBeta) return {};
  return {std::move(parsed), std::string(number)};
}

StatisticScopes FindStatisticScopes(const Manifest& manifest, const std::vector<bool>& usable,
                                    const std::vector<ParsedName>& parsed) {
  StatisticScopes scopes;
  for (std::uint32_t i = 0; i < parsed.size(); ++i) {
    if (!usable[i]) continue;
    if (parsed[i].leaf != nullptr) {
      if (parsed[i].joined && IsStatistic(*parsed[i].leaf)) scopes.joined.insert(parsed[i].scope);
      continue;
    }
    const Reading reading = ReadNumbered(manifest.tensors[i]);
    if (reading.parsed.leaf != nullptr && IsStatistic(*reading.parsed.leaf)) {
      scopes.numbered.insert(reading.parsed.scope + reading.number);
    }
  }
  return scopes;
}

Reading ReadBesideStatistics(const TensorInfo& info, const StatisticScopes& scopes) {
  if (!scopes.joined.empty()) {
    for (ParsedName& parsed : ParseAnyJoined(info.name)) {
      if (scopes.joined.contains(parsed.scope)) return {std::move(parsed)};
    }
  }
  if (scopes.numbered.empty()) return {};
  Reading reading = ReadNumbered(info);
  if (reading.parsed.leaf == nullptr) return {};
  return scopes.numbered.contains(reading.parsed.scope + reading.number) ? reading : Reading{};
}

bool Disjoint(const NamedScope& a, const NamedScope& b) {
  return std::none_of(a.members.begin(), a.members.end(), [&](const NamedScope::Member& member) {
    return b.Find(member.leaf->leaf) != nullptr;
  });
}

// A layer whose names have the number in part only is one; else the number makes its scope another.
void PlaceNumbered(std::vector<NamedScope> numbered, const std::vector<std::string>& numbers,
                   std::vector<NamedScope>& scopes) {
  if (numbered.empty()) return;
  std::unordered_map<std::string, std::size_t> positions;
  for (std::size_t i = 0; i < scopes.size(); ++i) positions.emplace(scopes[i].scope, i);
  for (std::size_t i = 0; i < numbered.size(); ++i) {
    const auto plain = positions.find(numbered[i].scope);
    if (plain == positions.end()) {
      scopes.push_back(std::move(numbered[i]));
    } else if (NamedScope& scope = scopes[plain->second]; Disjoint(numbered[i], scope)) {
      scope.members.insert(scope.members.end(), numbered[i].members.begin(),
                           numbered[i].members.end());
    } else {
      numbered[i].scope += numbers[i];
      scopes.push_back(std::move(numbered[i]));
    }
  }
}

}  // namespace

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
  const StatisticScopes statistics = FindStatisticScopes(manifest, usable, parsed);
  std::unordered_map<std::string, std::size_t> positions, numbered_positions;
  std::vector<NamedScope> scopes, numbered;
  std::vector<std::string> numbers;
  for (std::uint32_t i = 0; i < parsed.size(); ++i) {
    if (parsed[i].leaf == nullptr && usable[i]) {
      Reading reading = ReadBesideStatistics(manifest.tensors[i], statistics);
      if (!reading.number.empty()) {
        const auto [position, added] =
            numbered_positions.emplace(reading.parsed.scope + reading.number, numbered.size());
        if (added) {
          numbered.push_back({reading.parsed.scope, {}, true});
          numbers.push_back(reading.number);
        }
        numbered[position->second].members.push_back({reading.parsed.leaf, TensorId{i}, false});
        continue;
      }
      parsed[i] = std::move(reading.parsed);
    }
    if (parsed[i].leaf == nullptr) continue;
    const std::string scope =
        IsFromOperation(parsed[i]) ? LayerScope(parsed[i].scope, layers) : parsed[i].scope;
    const auto [position, added] = positions.emplace(scope, scopes.size());
    if (added) scopes.push_back({scope, {}});
    scopes[position->second].members.push_back(
        {parsed[i].leaf, TensorId{i}, parsed[i].of_statistic});
  }
  PlaceNumbered(std::move(numbered), numbers, scopes);
  std::sort(scopes.begin(), scopes.end(),
            [](const NamedScope& a, const NamedScope& b) { return NaturalLess(a.scope, b.scope); });
  return scopes;
}

}  // namespace ckpt
