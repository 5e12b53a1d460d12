#include "audit/older_tensors.h"

#include <algorithm>
#include <map>
#include <set>

#include "ckpt/natural_order.h"
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

std::string_view ScopeIn(std::string_view name) {
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

using Scopes = OlderTensors::Scopes;
using Groups = std::map<std::string, Scopes>;  // by what the scopes are without their numbers

void AddNumbered(const Manifest& manifest, TensorId id, std::string_view prefix, Groups& groups) {
  const std::string_view name = manifest.tensors[id.index].name;
  if (!name.starts_with(prefix)) return;
  const std::string_view scope = ScopeIn(name), below = ScopeIn(name.substr(prefix.size()));
  if (!below.empty()) groups[Unnumbered(below)][scope].push_back(id);
}

// The scopes under `prefix`.
Groups NumberedScopes(const Manifest& manifest, std::string_view prefix) {
  Groups groups;
  for (std::uint32_t i = 0; i < manifest.tensors.size(); ++i) {
    if (manifest.tensors[i].section == Section::kModel) AddNumbered(manifest, {i}, prefix, groups);
  }
  return groups;
}

Groups NumberedScopes(const Manifest& manifest, const std::vector<TensorId>& ids,
                      std::string_view prefix) {
  Groups groups;
  for (const TensorId id : ids) AddNumbered(manifest, id, prefix, groups);
  return groups;
}

}  // namespace

bool OlderTensors::Natural::operator()(std::string_view a, std::string_view b) const noexcept {
  return NaturalLess(a, b);
}

OlderTensors::OlderTensors(const Manifest& newer, const Analysis& analysis, const Manifest& older)
    : newer_(newer), older_(older) {
  ids_.reserve(older.tensors.size());
  for (std::uint32_t i = 0; i < older.tensors.size(); ++i) {
    ids_.emplace(older.tensors[i].name, TensorId{i});
  }
  ChoosePrefixes(analysis);
  if (analysis.framework == Framework::kPyTorch) return;
  if (newer_prefix_ == older_prefix_) ChoosePrefixesOfNumbered(analysis);
  RelateNumbered();
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
        if (!name.starts_with(taken) || ScopeIn(name.substr(taken.size())).empty()) continue;
        const auto older = Named(given + std::string(name.substr(taken.size())));
        count += older && Alike(id, *older) ? 1U : 0U;
      }
      if (count <= most) continue;
      most = count;
      newer_prefix_ = taken;
      older_prefix_ = given;
    }
  }
  DescribePrefixes();
}

void OlderTensors::DescribePrefixes() {
  if (newer_prefix_ == older_prefix_) return;
  how_ = "\"" + newer_prefix_ + "X\" was compared with its \"" + older_prefix_ + "X\"";
}

bool OlderTensors::AlikeBelow(std::string_view newer_scope, std::string_view older_scope,
                              const std::vector<TensorId>& newer) const {
  return std::all_of(newer.begin(), newer.end(), [&](TensorId id) {
    const std::string_view name = newer_.tensors[id.index].name;
    const auto other =
        Named(std::string(older_scope) + std::string(name.substr(newer_scope.size())));
    return other && Alike(id, *other);
  });
}

// Where names that agree relate no batch norm, and layers may have other numbers as well.
void OlderTensors::ChoosePrefixesOfNumbered(const Analysis& analysis) {
  std::vector<TensorId> newer, older;
  std::set<std::string_view> last;
  std::vector<std::string_view> newer_names, older_names;
  for (const BatchNorm& layer : analysis.batch_norms) {
    if (!layer.moving_variance) continue;
    if (Find(*layer.moving_variance)) return;
    newer.push_back(*layer.moving_variance);
    newer_names.emplace_back(newer_.tensors[newer.back().index].name);
    last.insert(Components(newer_names.back()).back());
  }
  for (std::uint32_t i = 0; i < older_.tensors.size(); ++i) {
    const std::string_view name = older_.tensors[i].name;
    if (older_.tensors[i].section != Section::kModel) continue;
    if (!last.contains(name.substr(name.find_last_of("/.") + 1))) continue;
    older.push_back({i});
    older_names.push_back(name);
  }
  std::size_t most = 0;
  for (const std::string& taken : PrefixesOf(newer_names)) {
    const Groups groups = NumberedScopes(newer_, newer, taken);
    for (const std::string& given : PrefixesOf(older_names)) {
      const Groups others = NumberedScopes(older_, older, given);
      std::size_t count = 0;
      for (const auto& [plain, scopes] : groups) {
        const auto other = others.find(plain);
        if (other != others.end() && ByOrder(scopes, other->second)) count += scopes.size();
      }
      if (count <= most) continue;
      most = count;
      newer_prefix_ = taken;
      older_prefix_ = given;
    }
  }
  DescribePrefixes();
}

bool OlderTensors::ByOrder(const Scopes& newer, const Scopes& older) const {
  return newer.size() == older.size() &&
         std::equal(newer.begin(), newer.end(), older.begin(), [&](const auto& a, const auto& b) {
           return AlikeBelow(a.first, b.first, a.second);
         });
}

void OlderTensors::RelateNumbered() {
  const Groups newer = NumberedScopes(newer_, newer_prefix_);
  const Groups older = NumberedScopes(older_, older_prefix_);
  bool described = false;
  for (const auto& [plain, scopes] : newer) {
    const auto others = older.find(plain);
    if (others == older.end() || others->second.size() != scopes.size()) continue;
    const auto same_name = [&](const auto& a, const auto& b) {
      return a.first.substr(newer_prefix_.size()) == b.first.substr(older_prefix_.size());
    };
    if (std::equal(scopes.begin(), scopes.end(), others->second.begin(), same_name)) continue;
    if (!ByOrder(scopes, others->second)) continue;
    auto other = others->second.begin();
    for (const auto& [scope, ids] : scopes) {
      older_scope_.emplace(std::string(scope), std::string((other++)->first));
    }
    if (described) continue;
    described = true;
    how_ += (how_.empty() ? "" : "; ") +
            ("layers that were numbered anew were compared by their order, \"" +
             std::string(scopes.begin()->first) + "\" with its \"" +
             std::string(others->second.begin()->first) + "\"");
  }
}

std::optional<TensorId> OlderTensors::Find(TensorId newer) const {
  const std::string& name = newer_.tensors[newer.index].name;
  std::string other = name;
  const std::string_view scope = ScopeIn(name);
  if (const auto numbered = older_scope_.find(std::string(scope)); numbered != older_scope_.end()) {
    other = numbered->second + name.substr(scope.size());
  } else if (newer_prefix_ != older_prefix_ && name.starts_with(newer_prefix_)) {
    other = older_prefix_ + name.substr(newer_prefix_.size());
  }
  const auto id = Named(other);
  return id && Alike(newer, *id) ? id : std::nullopt;
}

}  // namespace ckpt::audit
