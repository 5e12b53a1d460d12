#include "roles/named_scopes.h"

#include <algorithm>
#include <deque>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "ckpt/natural_order.h"
#include "roles/scope_words.h"
#include "roles/tensor_name.h"

namespace ckpt {
namespace {

// The owner that a file records wins over the path in the name. A scope that stands nowhere as a
// whole is kept in `made`.
ParsedName ParseTensor(const TensorInfo& info, std::deque<std::string>& made) {
  if (!info.owner.empty() && !info.local_name.empty()) {
    ParsedName parsed = ParseName(info.local_name);
    if (parsed.leaf != nullptr) {
      parsed.scope = parsed.scope.empty()
                         ? std::string_view(info.owner)
                         : made.emplace_back(info.owner + '/' + std::string(parsed.scope));
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
std::string_view LayerScope(std::string_view scope,
                            const std::unordered_set<std::string_view>& layers) {
  if (layers.contains(scope)) return scope;
  for (std::size_t end = scope.rfind('/'); end != std::string_view::npos && end > 0;
       end = scope.rfind('/', end - 1)) {
    const std::string_view outer = scope.substr(0, end);
    const std::string_view rest = scope.substr(end + 1);
    if (layers.contains(outer) && IsOperationScope(outer, rest)) return outer;
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

  std::string NumberedScope() const { return std::string(parsed.scope) + number; }
};

// Scopes whose statistics have names of a kind: behind an underscore, or with a number at the end.
struct StatisticScopes {
  std::unordered_set<std::string_view> joined;
  std::unordered_set<std::string> numbered;  // with the number
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
      scopes.numbered.insert(reading.NumberedScope());
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
  return scopes.numbered.contains(reading.NumberedScope()) ? reading : Reading{};
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

// Tensors fall into scopes one by one; the names stay where they are, in the manifest.
class ScopeGrouper {
 public:
  ScopeGrouper(const Manifest& manifest, const std::vector<bool>& usable)
      : manifest_(manifest), usable_(usable), parsed_(manifest.tensors.size()) {}

  std::vector<NamedScope> Run() {
    Parse();
    const StatisticScopes statistics = FindStatisticScopes(manifest_, usable_, parsed_);
    positions_.reserve(parsed_.size() / 2);
    for (std::uint32_t i = 0; i < parsed_.size(); ++i) {
      if (!usable_[i]) continue;
      if (parsed_[i].leaf == nullptr) {
        Reading reading = ReadBesideStatistics(manifest_.tensors[i], statistics);
        if (!reading.number.empty()) {
          AddNumbered(reading, TensorId{i});
          continue;
        }
        parsed_[i] = reading.parsed;
      }
      if (parsed_[i].leaf != nullptr) Add(parsed_[i], TensorId{i});
    }
    positions_.clear();
    PlaceNumbered(std::move(numbered_), numbers_, scopes_);
    std::sort(scopes_.begin(), scopes_.end(), [](const NamedScope& a, const NamedScope& b) {
      return NaturalLess(a.scope, b.scope);
    });
    return std::move(scopes_);
  }

 private:
  void Parse() {
    for (std::uint32_t i = 0; i < parsed_.size(); ++i) {
      if (!usable_[i]) continue;
      parsed_[i] = ParseTensor(manifest_.tensors[i], made_);
      const Leaf* leaf = parsed_[i].leaf;
      if (leaf == nullptr || IsFromOperation(parsed_[i])) continue;
      if (IsStatistic(*leaf) || leaf->part == Part::kGamma || leaf->part == Part::kBeta) {
        layers_.insert(parsed_[i].scope);
      }
    }
  }

  void Add(const ParsedName& parsed, TensorId id) {
    const std::string_view scope =
        IsFromOperation(parsed) ? LayerScope(parsed.scope, layers_) : parsed.scope;
    const auto [position, added] = positions_.emplace(scope, scopes_.size());
    if (added) scopes_.push_back({std::string(scope), {}});
    scopes_[position->second].members.push_back({parsed.leaf, id, parsed.of_statistic});
  }

  void AddNumbered(const Reading& reading, TensorId id) {
    const auto [position, added] =
        numbered_positions_.emplace(reading.NumberedScope(), numbered_.size());
    if (added) {
      numbered_.push_back({std::string(reading.parsed.scope), {}, true});
      numbers_.push_back(reading.number);
    }
    numbered_[position->second].members.push_back({reading.parsed.leaf, id, false});
  }

  const Manifest& manifest_;
  const std::vector<bool>& usable_;
  std::deque<std::string> made_;
  std::vector<ParsedName> parsed_;
  std::unordered_set<std::string_view> layers_;
  std::unordered_map<std::string_view, std::size_t> positions_;
  std::unordered_map<std::string, std::size_t> numbered_positions_;
  std::vector<NamedScope> scopes_, numbered_;
  std::vector<std::string> numbers_;
};

}  // namespace

std::vector<NamedScope> GroupByScope(const Manifest& manifest, const std::vector<bool>& usable) {
  return ScopeGrouper(manifest, usable).Run();
}

}  // namespace ckpt
