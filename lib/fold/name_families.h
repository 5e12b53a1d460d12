// Kernels and batch norms whose names go together, judged as families: "layer1.0.conv1" and
// "layer1.0.bn1" with all their like. A name does not say which of the two comes first; the shapes
// of a family may.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "fold/kernel_layout.h"
#include "fold/name_keys.h"

namespace ckpt {

// The shapes of kernels that each go with a batch norm in one way: do they follow it, or precede
// it?
class FamilyShapes {
 public:
  // `may_be_grouped`: kernels may be those of grouped convolutions.
  explicit FamilyShapes(bool may_be_grouped) : may_be_grouped_(may_be_grouped) {}
  void Add(const Shape& kernel, KernelLayout layout, std::uint64_t channels);
  // Could each batch norm stand before its kernel? Its channels are the in channels then, which a
  // grouped kernel stores divided by its groups: of one number of groups, or of one width, for all.
  bool MayPrecede() const;

 private:
  bool may_be_grouped_;
  bool divisible_ = true;
  std::set<std::uint64_t> groups_ = {}, widths_ = {};
};

class NameFamilies {
 public:
  struct Member {
    std::size_t kernel, norm;  // indices into layers()
  };
  // REQUIRES: all outlive it. `members`: each batch norm with the one kernel whose name goes with
  // it. `misfits`: those whose kernels have other channels.
  NameFamilies(const NamedLayers& layers, const KernelLayouts& layouts, std::vector<Member> members,
               const std::vector<Member>& misfits);

  // Success where nothing that the family shows contradicts the pair.
  Status CheckPair(const Member& member) const;
  // Success where the shapes of the family show that the batch norms follow their kernels, and that
  // the numbers mean what they seem to. What it rests on.
  Result<std::string> Decided(const Member& member) const;

 private:
  struct Family {
    std::vector<Member> members = {};
    std::string contradiction = {};
    bool follows = false;               // the shapes fit no batch norm that precedes its kernel
    std::set<std::string> offset = {};  // modules in which the numbers may mean others
  };
  static std::string KeyOf(const NamedLayer& kernel, const NamedLayer& norm);
  static std::string Surroundings(const NamedLayer& kernel, const NamedLayer& norm);
  bool MayPrecede(const Family& family) const;
  // `key`: of the family.
  void ReadNumbers(const std::string& key, Family& family) const;

  const NamedLayer& layer(std::size_t at) const { return layers_.layers()[at]; }
  std::uint64_t Channels(std::size_t norm) const;

  const NamedLayers& layers_;
  const KernelLayouts& layouts_;
  std::map<std::string, std::vector<std::size_t>> kernels_, norms_;  // by naming
  std::map<std::string, Family> families_;
  std::map<std::string, std::string> follows_in_;  // by surroundings: a member that decides
};

}  // namespace ckpt
