#include "fold/name_families.h"

#include <algorithm>
#include <cctype>

#include "ckpt/natural_order.h"
#include "fold/reason.h"
#include "roles/scope_words.h"

namespace ckpt {
namespace {

std::string FirstWord(std::string_view leaf) {
  const auto end = std::find_if(leaf.begin(), leaf.end(), [](char c) {
    return std::isalpha(static_cast<unsigned char>(c)) == 0;
  });
  return {leaf.begin(), end};
}

// The module that two lists, "convs.0" and "bns.0", or two layers stand in.
std::string ModuleOf(const NamedLayer& layer) {
  return PlaceInSequence(layer.parts.leaf) ? SplitName(layer.parts.parent).parent
                                           : layer.parts.parent;
}

// In an instance of a family (one module) each batch norm gets a kernel of its own, in the order of
// the numbers. The first and the last way to do so; empty where there is none.
struct Alignments {
  std::vector<std::size_t> early = {}, late = {};
};
template <typename Fits>
Alignments Align(std::size_t kernels, std::size_t norms, const Fits& fits) {
  Alignments found;
  std::size_t kernel = 0;
  for (std::size_t norm = 0; norm < norms; ++norm, ++kernel) {
    while (kernel < kernels && !fits(kernel, norm)) ++kernel;
    if (kernel == kernels) return {};
    found.early.push_back(kernel);
  }
  found.late = found.early;
  kernel = kernels;
  for (std::size_t norm = norms; norm-- > 0;) {
    do {
      --kernel;  // ends at the early one, if not before
    } while (!fits(kernel, norm));
    found.late[norm] = kernel;
  }
  return found;
}

}  // namespace

void FamilyShapes::Add(const Shape& kernel, KernelLayout layout, std::uint64_t channels) {
  if (kernel.rank() < 2 || channels == 0) return;
  const std::size_t axis = layout == KernelLayout::kOutInSpatial   ? 1
                           : layout == KernelLayout::kInOutSpatial ? 0
                           : layout == KernelLayout::kSpatialOutIn ? kernel.rank() - 1
                                                                   : kernel.rank() - 2;
  const auto in = static_cast<std::uint64_t>(kernel[axis]);
  if (in == 0) return;
  const bool grouped = may_be_grouped_ && kernel.rank() > 2;
  divisible_ = divisible_ && (grouped ? channels % in == 0 : in == channels);
  groups_.insert(channels / in);
  widths_.insert(in);
}

bool FamilyShapes::MayPrecede() const {
  return divisible_ && (groups_.size() <= 1 || widths_.size() <= 1);
}

std::string NameFamilies::KeyOf(const NamedLayer& kernel, const NamedLayer& norm) {
  return NamingPattern(kernel.scope) + '\n' + NamingPattern(norm.scope);
}

// Where families of one style stand together: "conv_dw_#" and "conv_pw_#" of one module.
std::string NameFamilies::Surroundings(const NamedLayer& kernel, const NamedLayer& norm) {
  return NamingPattern(kernel.parts.parent) + '\n' + FirstWord(kernel.parts.leaf) + '\n' +
         FirstWord(norm.parts.leaf);
}

NameFamilies::NameFamilies(const NamedLayers& layers, const KernelLayouts& layouts,
                           std::vector<Member> members, const std::vector<Member>& misfits)
    : layers_(layers), layouts_(layouts) {
  for (std::size_t i = 0; i < layers.layers().size(); ++i) {
    if (layer(i).kernel) kernels_[NamingPattern(layer(i).scope)].push_back(i);
    if (layer(i).batch_norm) norms_[NamingPattern(layer(i).scope)].push_back(i);
  }
  for (const Member& member : members) {
    families_[KeyOf(layer(member.kernel), layer(member.norm))].members.push_back(member);
  }
  for (const Member& member : misfits) {
    const auto family = families_.find(KeyOf(layer(member.kernel), layer(member.norm)));
    if (family == families_.end()) continue;
    family->second.contradiction = "of the same naming, " + Quoted(layer(member.norm).scope) +
                                   " does not fit " + Quoted(layer(member.kernel).scope);
  }
  for (auto& [key, family] : families_) {
    for (const Member& member : family.members) {
      if (!layers.ordered() || member.kernel < member.norm) continue;
      family.contradiction = "it or one of its naming is stored before its kernel: " +
                             Quoted(layer(member.norm).scope) + " before " +
                             Quoted(layer(member.kernel).scope);
    }
    family.follows = !MayPrecede(family);
    ReadNumbers(key, family);
    if (!family.follows || !family.contradiction.empty()) continue;
    const Member& first = family.members.front();
    follows_in_.emplace(Surroundings(layer(first.kernel), layer(first.norm)),
                        layer(first.kernel).scope);
  }
}

std::uint64_t NameFamilies::Channels(std::size_t norm) const {
  return layers_.analysis().batch_norms[*layer(norm).batch_norm].channels.value_or(0);
}

bool NameFamilies::MayPrecede(const Family& family) const {
  FamilyShapes shapes(true);
  for (const Member& member : family.members) {
    const TensorId kernel = *layer(member.kernel).kernel;
    const auto found = layouts_.Of(kernel, Channels(member.norm));
    if (!found) continue;
    shapes.Add(layers_.manifest().tensors[kernel.index].shape, found->layout,
               Channels(member.norm));
  }
  return shapes.MayPrecede();
}

void NameFamilies::ReadNumbers(const std::string& key, Family& family) const {
  struct Instance {
    std::vector<std::size_t> kernels = {}, norms = {};
  };
  std::map<std::string, Instance> instances;  // by module
  for (const std::size_t i : kernels_.at(key.substr(0, key.find('\n')))) {
    instances[ModuleOf(layer(i))].kernels.push_back(i);
  }
  for (const std::size_t i : norms_.at(key.substr(key.find('\n') + 1))) {
    instances[ModuleOf(layer(i))].norms.push_back(i);
  }
  std::map<std::size_t, std::size_t> named;  // kernels by batch norm
  for (const Member& member : family.members) named.emplace(member.norm, member.kernel);
  std::map<std::string, bool> certain;  // by the names in the instance
  std::map<std::string, std::string> names_of;
  for (auto& [module, found] : instances) {
    auto& instance = found;  // clang 14 captures no structured binding
    const auto by_name = [&](std::size_t a, std::size_t b) {
      return NaturalLess(layer(a).scope, layer(b).scope);
    };
    std::sort(instance.kernels.begin(), instance.kernels.end(), by_name);
    std::sort(instance.norms.begin(), instance.norms.end(), by_name);
    std::string& names = names_of[module];
    for (const std::size_t i : instance.kernels) names += layer(i).parts.leaf + ' ';
    for (const std::size_t i : instance.norms) names += layer(i).parts.leaf + ' ';
    const Alignments ways =
        Align(instance.kernels.size(), instance.norms.size(), [&](std::size_t k, std::size_t n) {
          return layouts_.OutChannels(*layer(instance.kernels[k]).kernel) ==
                 Channels(instance.norms[n]);
        });
    bool one = !ways.early.empty() && ways.early == ways.late;
    for (std::size_t n = 0; one && n < instance.norms.size(); ++n) {
      const auto kernel = named.find(instance.norms[n]);
      one = kernel != named.end() && kernel->second == instance.kernels[ways.early[n]];
    }
    certain[names] = certain[names] || one;
  }
  for (const auto& [module, names] : names_of) {
    if (!certain[names]) family.offset.insert(module);
  }
}

Status NameFamilies::CheckPair(const Member& member) const {
  const Family& family = families_.at(KeyOf(layer(member.kernel), layer(member.norm)));
  if (family.contradiction.empty()) return {};
  return Refuse(family.contradiction + ": its name is no evidence");
}

Result<std::string> NameFamilies::Decided(const Member& member) const {
  const NamedLayer &kernel = layer(member.kernel), &norm = layer(member.norm);
  const Family& family = families_.at(KeyOf(kernel, norm));
  if (family.offset.contains(ModuleOf(norm))) {
    return Refuse(
        "by their shapes the batch norms named like it may go with other kernels, or their "
        "numbers run apart",
        Remedy::kGivePair);
  }
  if (family.follows) {
    return std::string("the shapes of ") + std::to_string(family.members.size()) +
           " pairs of this naming fit only so";
  }
  const auto like = follows_in_.find(Surroundings(kernel, norm));
  if (like != follows_in_.end()) {
    return "the shapes of layers named like it fit only so, such as " + Quoted(like->second);
  }
  return Refuse("its name goes with " + Quoted(kernel.scope) +
                ", and nothing says whether it follows it or precedes it: the widths are equal");
}

}  // namespace ckpt
