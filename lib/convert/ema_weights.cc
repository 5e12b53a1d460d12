#include "convert/ema_weights.h"

#include "convert/name_list.h"

namespace ckpt {
namespace {

bool IsWeight(Role role) {
  return role == Role::kKernel || role == Role::kBias || role == Role::kGamma ||
         role == Role::kBeta;
}

}  // namespace

Result<std::map<TensorId, TensorId>> FindShadows(const Manifest& manifest, const Analysis& analysis,
                                                 std::vector<std::string>& notes) {
  std::map<TensorId, TensorId> shadows;
  for (std::uint32_t i = 0; i < manifest.tensors.size(); ++i) {
    const TensorRole& role = analysis.roles[i];
    if (role.role != Role::kEmaShadow || !role.of) continue;
    const TensorInfo& shadow = manifest.tensors[i];
    const TensorInfo& variable = manifest.tensors[role.of->index];
    if (shadow.shape != variable.shape || shadow.dtype != variable.dtype) {
      return Fail(Error{
          ErrorCode::kUnfit,
          "is the moving average of \"" + variable.name + "\" and differs from it in shape or type",
          {},
          {},
          shadow.name});
    }
    if (!shadows.emplace(*role.of, TensorId{i}).second) {
      return Fail(Error{ErrorCode::kUnfit,
                        "has several moving averages; which one to use is not known",
                        {},
                        {},
                        variable.name});
    }
  }
  if (shadows.empty()) {
    return Fail(ErrorCode::kUnfit, "--ema: the checkpoint holds no moving averages of its weights");
  }
  NameList without;
  std::size_t weights = 0;
  for (std::uint32_t i = 0; i < manifest.tensors.size(); ++i) {
    if (!IsWeight(analysis.roles[i].role)) continue;
    ++weights;
    if (!shadows.contains(TensorId{i})) without.Add(manifest.tensors[i].name);
  }
  if (without.count() != 0) {
    notes.push_back(
        "--ema: " + std::to_string(without.count()) + " of " + std::to_string(weights) +
        " weights have no moving average and are written as they are: " + without.text());
  }
  return shadows;
}

}  // namespace ckpt
