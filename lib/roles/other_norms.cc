#include "roles/other_norms.h"

#include <string>

namespace ckpt {
namespace {

// Finds tensors of one scope, PyTorch's separator first.
class Beside {
 public:
  Beside(const NameIndex& names, const std::string& scope) : names_(names), scope_(scope) {}
  bool Has(const char* leaf) const {
    return names_.Find(scope_ + '.' + leaf) || names_.Find(scope_ + '/' + leaf) ||
           (scope_.empty() && names_.Find(leaf));
  }

 private:
  const NameIndex& names_;
  const std::string& scope_;
};

// Statistics of the scalars alone beside variances of all features (e3nn.nn.BatchNorm): gamma as
// long as the variance, beta as long as the mean.
bool IsOfIrreps(const Manifest& manifest, const NamedScope& scope) {
  const auto size = [&](const char* leaf) -> std::uint64_t {
    const NamedScope::Member* member = scope.Find(leaf);
    if (member == nullptr) return 0;
    const Shape& shape = manifest.tensors[member->id.index].shape;
    return shape.rank() == 1 ? shape.element_count() : 0;
  };
  const std::uint64_t mean = size("running_mean"), variance = size("running_var");
  const std::uint64_t gamma = size("weight"), beta = size("bias");
  const bool has_mean = scope.Find("running_mean") != nullptr;
  if (!has_mean || variance == 0 || mean >= variance) return false;
  if (scope.Find("num_batches_tracked") != nullptr) return false;
  return gamma == 0 || (gamma == variance && beta == mean);
}

bool IsOfComplexNumbers(const Manifest& manifest, const NamedScope& scope, const Beside& beside) {
  const NamedScope::Member* mean = scope.Find("running_mean");
  if (mean == nullptr) return false;
  if (IsComplex(manifest.tensors[mean->id.index].dtype)) return true;
  // complextorch: [2, C] and [2, 2, C], the parts apart.
  const NamedScope::Member* variance = scope.Find("running_var");
  if (variance != nullptr) {
    const Shape& means = manifest.tensors[mean->id.index].shape;
    const Shape& variances = manifest.tensors[variance->id.index].shape;
    if (means.rank() == 2 && variances.rank() == 3 && means[0] == 2 && variances[0] == 2 &&
        variances[1] == 2 && means[1] == variances[2]) {
      return true;
    }
  }
  return beside.Has("running_covar") || beside.Has("running_cov") ||
         (beside.Has("RMr") && beside.Has("RMi"));
}

}  // namespace

bool HasOtherNormsTensors(const Manifest& manifest, const NameIndex& names,
                          const NamedScope& scope) {
  const Beside beside(names, scope.scope);
  if (beside.Has("mean_weight") && beside.Has("var_weight")) return true;  // switchable norm
  // EvoNorm-B0 keeps a variance and no mean; v is its own.
  const bool variance_alone =
      scope.Find("running_var") != nullptr && scope.Find("running_mean") == nullptr;
  if (variance_alone && beside.Has("v")) return true;
  return IsOfComplexNumbers(manifest, scope, beside) || IsOfIrreps(manifest, scope);
}

}  // namespace ckpt
