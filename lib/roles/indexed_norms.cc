#include "roles/indexed_norms.h"

#include <charconv>
#include <map>
#include <optional>
#include <string_view>
#include <unordered_map>

#include "roles/scope_words.h"

namespace ckpt {
namespace {

struct PlaceInSequential {
  std::string_view parent;
  std::uint32_t number;
};

std::optional<PlaceInSequential> PlaceOf(std::string_view scope) {
  const std::size_t end = scope.find_last_of("/.");
  const std::string_view last = end == std::string_view::npos ? scope : scope.substr(end + 1);
  if (!IsNumber(last)) return std::nullopt;
  PlaceInSequential place{scope.substr(0, scope.size() - last.size()), 0};
  const auto [stop, error] = std::from_chars(last.data(), last.data() + last.size(), place.number);
  if (error != std::errc() || stop != last.data() + last.size()) return std::nullopt;
  return place;
}

bool NamesAnotherNorm(const std::string& scope) {
  if (SaysOtherNorm(scope)) return true;
  return !SaysBatchNorm(scope) && SaysNorm(Components(scope).back());
}

// The modules of each Sequential by their number; null for one that holds others.
class Sequentials {
 public:
  Sequentials(const Manifest& manifest, const std::vector<NamedScope>& scopes)
      : manifest_(manifest) {
    for (const NamedScope& scope : scopes) Add(scope);
  }

  bool IsBesideConvolution(const NamedScope& scope) const {
    const auto place = PlaceOf(scope.scope);
    const auto channels = place ? ChannelsOf(scope) : std::nullopt;
    if (!channels) return false;
    const std::map<std::uint32_t, const NamedScope*>& modules = modules_.at(place->parent);
    const auto self = modules.find(place->number);
    if (self != modules.begin()) {
      const Shape* kernel = KernelOf(std::prev(self)->second);
      // Of a transposed convolution the outputs stand second.
      return kernel != nullptr && ((*kernel)[0] == *channels || (*kernel)[1] == *channels);
    }
    const auto next = std::next(self);
    const Shape* kernel = next == modules.end() ? nullptr : KernelOf(next->second);
    return kernel != nullptr && (*kernel)[1] == *channels;
  }

 private:
  // Those that the name passes hold others.
  void Add(const NamedScope& scope) {
    std::string_view at = scope.scope;
    const NamedScope* module = &scope;
    while (!at.empty()) {
      if (const auto place = PlaceOf(at)) {
        const NamedScope*& entry =
            modules_[place->parent].emplace(place->number, module).first->second;
        if (entry != module) entry = nullptr;
      }
      const std::size_t end = at.find_last_of("/.");
      at = at.substr(0, end == std::string_view::npos ? 0 : end);
      module = nullptr;
    }
  }

  const Shape& ShapeOf(const NamedScope::Member& member) const {
    return manifest_.tensors[member.id.index].shape;
  }

  std::optional<std::int64_t> ChannelsOf(const NamedScope& scope) const {
    const NamedScope::Member* weight = scope.Find("weight");
    const NamedScope::Member* bias = scope.Find("bias");
    if (weight == nullptr || bias == nullptr || scope.members.size() != 2) return std::nullopt;
    if (ShapeOf(*weight).rank() != 1 || ShapeOf(*weight) != ShapeOf(*bias)) return std::nullopt;
    return ShapeOf(*weight)[0];
  }

  const Shape* KernelOf(const NamedScope* scope) const {
    const NamedScope::Member* weight = scope == nullptr ? nullptr : scope->Find("weight");
    return weight != nullptr && ShapeOf(*weight).rank() >= 3 ? &ShapeOf(*weight) : nullptr;
  }

  const Manifest& manifest_;
  std::unordered_map<std::string_view, std::map<std::uint32_t, const NamedScope*>> modules_;
};

}  // namespace

std::vector<std::size_t> NormsBesideConvolutions(const Manifest& manifest,
                                                 const std::vector<NamedScope>& scopes) {
  for (const NamedScope& scope : scopes)
    if (NamesAnotherNorm(scope.scope)) return {};
  const Sequentials sequentials(manifest, scopes);
  std::vector<std::size_t> found;
  for (std::size_t i = 0; i < scopes.size(); ++i)
    if (sequentials.IsBesideConvolution(scopes[i])) found.push_back(i);
  return found;
}

}  // namespace ckpt
