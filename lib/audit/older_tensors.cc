#include "audit/older_tensors.h"

#include <algorithm>
#include <map>
#include <set>

#include "roles/scope_words.h"

namespace ckpt::audit {
namespace {

constexpr std::size_t kMaxPrefixes = 16;
constexpr std::size_t kSampled = 256;
constexpr std::size_t kMaxDepth = 3;

// "", "a.", "a.b." of the names, the most frequent first.
std::vector<std::string> PrefixesOf(const std::vector<std::string_view>& names) {
  std::map<std::string, std::size_t, std::less<>> counts;
  for (const std::string_view name : names) {
    std::size_t end = 0;
    for (std::size_t depth = 0; depth < kMaxDepth; ++depth) {
      end = name.find_first_of("/.", end);
      if (end == std::string_view::npos) break;
      ++counts[std::string(name.substr(0, ++end))];
    }
  }
  std::vector<std::pair<std::size_t, std::string>> ranked;
  for (const auto& [prefix, count] : counts) ranked.emplace_back(count, prefix);
  std::stable_sort(ranked.begin(), ranked.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  std::vector<std::string> prefixes = {""};
  for (const auto& [count, prefix] : ranked) {
    if (prefixes.size() > kMaxPrefixes) break;
    prefixes.push_back(prefix);
  }
  return prefixes;
}

std::string_view ScopeOf(std::string_view name) {
  const std::size_t end = name.find_last_of("/.");
  return end == std::string_view::npos ? std::string_view() : name.substr(0, end);
}

// The scope without the numbers that make names unique.
std::string Unnumbered(std::string_view scope) {
  std::string plain;
  for (const std::string_view component : Components(scope)) {
    plain += (plain.empty() ? "" : "/") + std::string(WithoutNumber(component));
  }
  return plain;
}

struct Natural {
  bool operator()(std::string_view a, std::string_view b) const { return NaturalLess(a, b); }
};
using Scopes = std::map<std::string_view, std::vector<TensorId>, Natural>;

std::map<std::string, Scopes> NumberedScopes(const Manifest& manifest) {
  std::map<std::string, Scopes> groups;
  for (std::uint32_t i = 0; i < manifest.tensors.size(); ++i) {
    if (manifest.tensors[i].section != Section::kModel) continue;
    const std::string_view scope = ScopeOf(manifest.tensors[i].name);
    if (!scope.empty()) groups[Unnumbered(scope)][scope].push_back({i});
  }
  return groups;
}

}  // namespace

OlderTensors::OlderTensors(const Manifest& newer, const Analysis& analysis, const Manifest& older)
    : newer_(newer), older_(older) {
  ids_.reserve(older.tensors.size());
  for (std::uint32_t i = 0; i < older.tensors.size(); ++i) {
    ids_.emplace(older.tensors[i].name, TensorId{i});
  }
  ChoosePrefixes(analysis);
  if (newer_prefix_ == older_prefix_ && analysis.framework != Framework::kPyTorch) RelateNumbered();
}

bool OlderTensors::Alike(TensorId newer, TensorId older) const {
  const TensorInfo& a = newer_.tensors[newer.index];
  const TensorInfo& b = older_.tensors[older.index];
  return a.dtype == b.dtype && a.shape == b.shape;
}

std::optional<TensorId> OlderTensors::Named(std::string_view name) const {
  const auto found = ids_.find(name);
  return found == ids_.end() ? std::nullopt : std::optional(found->second);
}

void OlderTensors::ChoosePrefixes(const Analysis& analysis) {
  std::vector<TensorId> sample;
  for (const BatchNorm& layer : analysis.batch_norms) {
    if (sample.size() == kSampled) break;
    if (layer.moving_variance) sample.push_back(*layer.moving_variance);
  }
  std::vector<std::string_view> newer_names, older_names;
  for (const TensorId id : sample) newer_names.push_back(newer_.tensors[id.index].name);
  for (const TensorInfo& info : older_.tensors) {
    if (info.section == Section::kModel) older_names.push_back(info.name);
  }
  std::size_t most = 0;
  for (const std::string& taken : PrefixesOf(newer_names)) {
    for (const std::string& given : PrefixesOf(older_names)) {
      if (!taken.empty() && taken == given) continue;
      std::size_t count = 0;
      for (const TensorId id : sample) {
        const std::string_view name = newer_.tensors[id.index].name;
        // What is left names a layer, or another one's would be taken for it.
        if (!name.starts_with(taken) || ScopeOf(name.substr(taken.size())).empty()) continue;
        const auto older = Named(given + std::string(name.substr(taken.size())));
        count += older && Alike(id, *older) ? 1U : 0U;
      }
      if (count <= most) continue;
      most = count;
      newer_prefix_ = taken;
      older_prefix_ = given;
    }
  }
  if (newer_prefix_ != older_prefix_) {
    how_ = "\"" + newer_prefix_ + "X\" was compared with its \"" + older_prefix_ + "X\"";
  }
}

void OlderTensors::RelateNumbered() {
  const std::map<std::string, Scopes> newer = NumberedScopes(newer_);
  const std::map<std::string, Scopes> older = NumberedScopes(older_);
  for (const auto& [plain, scopes] : newer) {
    const auto others = older.find(plain);
    if (others == older.end() || others->second.size() != scopes.size()) continue;
    const auto same_name = [](const auto& a, const auto& b) { return a.first == b.first; };
    if (std::equal(scopes.begin(), scopes.end(), others->second.begin(), same_name)) continue;
    const auto alike = [&](const auto& a, const auto& b) {
      return std::all_of(a.second.begin(), a.second.end(), [&](TensorId id) {
        const std::string_view name = newer_.tensors[id.index].name;
        const auto other = Named(std::string(b.first) + std::string(name.substr(a.first.size())));
        return other && Alike(id, *other);
      });
    };
    if (!std::equal(scopes.begin(), scopes.end(), others->second.begin(), alike)) continue;
    auto other = others->second.begin();
    for (const auto& [scope, ids] : scopes) {
      older_scope_.emplace(std::string(scope), std::string((other++)->first));
    }
    if (how_.empty()) {
      how_ = "layers that were numbered anew were compared by their order, \"" +
             std::string(scopes.begin()->first) + "\" with its \"" +
             std::string(others->second.begin()->first) + "\"";
    }
  }
}

std::optional<TensorId> OlderTensors::Find(TensorId newer) const {
  const std::string& name = newer_.tensors[newer.index].name;
  std::string other = name;
  const std::string_view scope = ScopeOf(name);
  if (const auto numbered = older_scope_.find(std::string(scope)); numbered != older_scope_.end()) {
    other = numbered->second + name.substr(scope.size());
  } else if (newer_prefix_ != older_prefix_ && name.starts_with(newer_prefix_)) {
    other = older_prefix_ + name.substr(newer_prefix_.size());
  }
  const auto id = Named(other);
  return id && Alike(newer, *id) ? id : std::nullopt;
}

}  // namespace ckpt::audit
