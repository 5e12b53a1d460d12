// Which tensor of an older checkpoint is which of a newer one.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "ckpt/batch_norm.h"

namespace ckpt::audit {

// By name. A prefix that all names of one file have, or that the other lacks ("backbone.",
// "model."), is taken off where more batch norms are found so; layers that Keras or TensorFlow
// numbered anew ("batch_normalization_5" for "batch_normalization", under a prefix too) go by their
// order, where there are as many of a name and all shapes agree.
class OlderTensors {
 public:
  struct Natural {
    bool operator()(std::string_view a, std::string_view b) const noexcept;
  };
  // What stands in layers whose names differ in numbers alone.
  using Scopes = std::map<std::string_view, std::vector<TensorId>, Natural>;

  OlderTensors(const Manifest& newer, const Analysis& analysis, const Manifest& older);

  // Of the same type and shape.
  std::optional<TensorId> Find(TensorId newer) const;
  // "backbone.X is X" where names were related by more than equality; else empty.
  const std::string& how() const noexcept { return how_; }

 private:
  void ChoosePrefixes(const Analysis& analysis);
  void ChoosePrefixesOfNumbered(const Analysis& analysis);
  void DescribePrefixes();
  void RelateNumbered();
  bool AlikeBelow(std::string_view newer_scope, std::string_view older_scope,
                  const std::vector<TensorId>& newer) const;
  // Has each scope in the natural order what its counterpart has?
  bool ByOrder(const Scopes& newer, const Scopes& older) const;
  std::optional<TensorId> Named(std::string_view name) const;
  bool Alike(TensorId newer, TensorId older) const;

  const Manifest& newer_;
  const Manifest& older_;
  std::unordered_map<std::string_view, TensorId> ids_;
  std::string newer_prefix_, older_prefix_;
  std::unordered_map<std::string, std::string> older_scope_;  // of scopes that were numbered anew
  std::string how_;
};

}  // namespace ckpt::audit
