#include "audit/checkpoint_change.h"

#include <algorithm>
#include <string>
#include <string_view>

namespace ckpt::audit {
namespace {

std::size_t CommonComponents(std::string_view a, std::string_view b) {
  std::size_t common = 0;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()) && a[i] == b[i]; ++i) {
    if (a[i] == '/' || a[i] == '.') ++common;
  }
  return common;
}

}  // namespace

bool IsTrained(Role role) noexcept {
  return role == Role::kKernel || role == Role::kBias || role == Role::kGamma ||
         role == Role::kBeta;
}

std::optional<std::vector<double>> CheckpointChange::OlderValues(
    const std::optional<TensorId>& id) {
  const std::optional<TensorId> older = id ? Older(*id) : std::nullopt;
  return older ? older_reader_.Doubles(*older) : std::nullopt;
}

LayerValues CheckpointChange::OlderStatistics(const BatchNorm& layer) {
  LayerValues then;
  then.mean = OlderValues(layer.moving_mean);
  then.spread = OlderValues(layer.moving_variance);
  return then;
}

Change CheckpointChange::Of(TensorId id) {
  const auto [known, is_new] = changes_.try_emplace(id, Change::kUnknown);
  if (!is_new) return known->second;
  if (const std::optional<TensorId> older = Older(id)) {
    const std::optional<bool> same = comparison_.Same(id, *older);
    if (same) known->second = *same ? Change::kSame : Change::kMoved;
  }
  return known->second;
}

Change CheckpointChange::OfAffine(const BatchNorm& layer) {
  Change change = Change::kUnknown;
  for (const auto& id : {layer.gamma, layer.beta}) {
    if (!id) continue;
    const Change one = Of(*id);
    if (one != Change::kSame) return one;
    change = one;
  }
  return change;
}

Change CheckpointChange::OfKernels(const BatchNorm& layer) {
  std::size_t most = 0, least = std::string::npos;
  std::vector<TensorId> beside;
  for (std::uint32_t i = 0; i < analysis_.roles.size(); ++i) {
    const Role role = analysis_.roles[i].role;
    if (role != Role::kKernel && role != Role::kBias) continue;
    const std::size_t common = CommonComponents(manifest_.tensors[i].name, layer.scope + "/");
    least = std::min(least, common);
    if (common < most) continue;
    if (common > most) beside.clear();
    most = common;
    beside.push_back(TensorId{i});
  }
  // Names that share nothing, or all the same, tell nothing; then some kernel must be frozen too.
  bool any_same = false;
  for (const TensorId id : beside) {
    const Change change = Of(id);
    if (most > least && change != Change::kSame) return change;
    any_same = any_same || change == Change::kSame;
  }
  if (beside.empty()) return Change::kUnknown;
  return any_same ? Change::kSame : Change::kMoved;
}

bool CheckpointChange::AnyWeightMoved() {
  if (any_weight_moved_) return *any_weight_moved_;
  bool moved = false;
  for (std::uint32_t i = 0; i < analysis_.roles.size() && !moved; ++i) {
    if (!IsTrained(analysis_.roles[i].role)) continue;
    // A weight that the older checkpoint has not, or in another shape: a head that was replaced.
    moved = !Older(TensorId{i}) || Of(TensorId{i}) == Change::kMoved;
  }
  any_weight_moved_ = moved;
  return moved;
}

bool CheckpointChange::WasTrained(const BatchNorm& layer) {
  return layer.gamma || layer.beta ? OfAffine(layer) == Change::kMoved : AnyWeightMoved();
}

const Error* CheckpointChange::failure() const {
  if (comparison_.failure()) return &*comparison_.failure();
  return older_reader_.failures().empty() ? nullptr : &older_reader_.failures().front().error;
}

}  // namespace ckpt::audit
