#include "diff/batch_norm_diff.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <string>
#include <utility>

namespace ckpt {
namespace {

std::string Number(double value) {
  char text[32];
  const auto end = std::to_chars(text, text + sizeof(text), value).ptr;
  return std::string(text, end);
}

bool IsAssumed(const BatchNorm& layer) {
  return layer.epsilon->evidence.source == EvidenceSource::kDefault;
}

// Settles the epsilon of both sides; false where neither is known. A default that is merely assumed
// yields to what the other side records.
bool SettleEpsilon(BatchNorm& a, BatchNorm& b, std::string& note) {
  if (!a.epsilon && !b.epsilon) return false;
  if (a.epsilon && b.epsilon) {
    if (SameEpsilon(a.epsilon->value, b.epsilon->value)) {
      b.epsilon->value = a.epsilon->value;
      return true;
    }
    if (IsAssumed(a) == IsAssumed(b)) {
      note = "epsilon " + Number(a.epsilon->value) + " against " + Number(b.epsilon->value);
      if (IsAssumed(a)) note += ", both assumed";
      return true;
    }
  }
  const bool from_a = a.epsilon && (!b.epsilon || IsAssumed(b));
  (from_a ? b : a).epsilon = (from_a ? a : b).epsilon;
  note = "epsilon " + Number(a.epsilon->value) + " is recorded in " + (from_a ? "A" : "B") +
         " only, and used for both";
  return true;
}

// The layer is not compared, for this reason.
void Leave(std::string why, BatchNormDiff& diff) {
  diff.compared = false;
  diff.note = "not compared: " + std::move(why);
}

// What keeps the values from being a function; empty where nothing does.
std::string Fault(const BatchNormValues& values, const char* side) {
  for (const auto* vector : {&values.gamma, &values.beta, &values.mean, &values.variance}) {
    if (!std::all_of(vector->begin(), vector->end(), [](double x) { return std::isfinite(x); })) {
      return std::string("values that are not finite in ") + side;
    }
  }
  if (std::all_of(values.variance.begin(), values.variance.end(),
                  [&](double variance) { return variance + values.epsilon > 0; })) {
    return {};
  }
  return std::string("variance + epsilon is not positive in ") + side;
}

bool Same(const BatchNormValues& a, const BatchNormValues& b) {
  return a.gamma == b.gamma && a.beta == b.beta && a.mean == b.mean && a.variance == b.variance;
}

// |a - b| is within the tolerance, or within 4 float32 roundings of numbers of this size.
bool IsClose(double a, double b, double size, Tolerance tolerance) {
  const double magnitude = std::max(std::fabs(a), std::fabs(b));
  const double allowed = std::max(tolerance.atol + tolerance.rtol * magnitude, 4 * 0x1p-24 * size);
  return std::fabs(a - b) <= allowed;
}

void CompareFunctions(const BatchNormValues& a, const BatchNormValues& b, Tolerance tolerance,
                      BatchNormDiff& diff) {
  const ScaleShift left = EffectiveScaleShift(a), right = EffectiveScaleShift(b);
  diff.equal_as_function = true;
  for (std::size_t c = 0; c < left.scale.size(); ++c) {
    const double scale = std::fabs(left.scale[c] - right.scale[c]);
    const double shift = std::fabs(left.shift[c] - right.shift[c]);
    diff.max_scale_diff = std::max(diff.max_scale_diff, scale);
    diff.max_shift_diff = std::max(diff.max_shift_diff, shift);
    const double scale_size = std::max(std::fabs(left.scale[c]), std::fabs(right.scale[c]));
    // A shift is the difference of beta and mean * scale, each rounded.
    const double shift_size =
        std::max(std::fabs(a.beta[c]) + std::fabs(a.mean[c] * left.scale[c]),
                 std::fabs(b.beta[c]) + std::fabs(b.mean[c] * right.scale[c]));
    const bool close = IsClose(left.scale[c], right.scale[c], scale_size, tolerance) &&
                       IsClose(left.shift[c], right.shift[c], shift_size, tolerance);
    diff.equal_as_function = diff.equal_as_function && close;
  }
}

// What keeps a layer from being compared; empty where nothing does.
std::string Obstacle(const BatchNorm* layer, const char* side) {
  if (layer == nullptr) return std::string("not in ") + side;
  if (!layer->moving_mean || !layer->moving_variance) {
    return std::string("statistics missing in ") + side;
  }
  if (!layer->channels) return std::string("tensors of different sizes in ") + side;
  return {};
}

bool IsDataPresent(const Manifest& manifest, const BatchNorm& layer) {
  const std::vector<TensorId> ids = TensorsOf(layer);
  return std::all_of(ids.begin(), ids.end(),
                     [&](TensorId id) { return manifest.tensors[id.index].data_present; });
}

constexpr char kNoEpsilon[] = "epsilon is recorded in neither";

// `assumptions_differ`: both sides assume an epsilon, not the same.
void SayEqual(bool epsilon_known, bool assumptions_differ, BatchNormDiff& diff) {
  diff.equal_as_function = true;
  if (!epsilon_known) diff.note = std::string(kNoEpsilon);
  if (!epsilon_known || assumptions_differ) diff.note += "; equal for any one epsilon";
}

}  // namespace

std::vector<TensorId> TensorsOf(const BatchNorm& layer) {
  std::vector<TensorId> ids;
  for (const auto& id : {layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance}) {
    if (id) ids.push_back(*id);
  }
  return ids;
}

std::vector<LayerMatch> MatchLayers(const Analysis& a, const Analysis& b,
                                    const std::vector<Match>& matches) {
  std::map<TensorId, TensorId> partner;
  for (const Match& match : matches) {
    if (match.a && match.b) partner.emplace(*match.a, *match.b);
  }
  std::map<TensorId, std::size_t> layer_of;  // by a tensor of B
  for (std::size_t i = 0; i < b.batch_norms.size(); ++i) {
    for (const TensorId id : TensorsOf(b.batch_norms[i])) layer_of.emplace(id, i);
  }
  std::vector<LayerMatch> layers;
  std::vector<bool> taken(b.batch_norms.size(), false);
  for (const BatchNorm& layer : a.batch_norms) {
    LayerMatch match{&layer, nullptr};
    for (const TensorId id : TensorsOf(layer)) {
      const auto other = partner.find(id);
      if (other == partner.end()) continue;
      const auto found = layer_of.find(other->second);
      if (found == layer_of.end() || taken[found->second]) continue;
      taken[found->second] = true;
      match.b = &b.batch_norms[found->second];
      break;
    }
    layers.push_back(match);
  }
  for (std::size_t i = 0; i < taken.size(); ++i) {
    if (!taken[i]) layers.push_back({nullptr, &b.batch_norms[i]});
  }
  return layers;
}

Result<BatchNormDiff> CompareLayers(const Checkpoint& a, const Checkpoint& b,
                                    const LayerMatch& layer, bool same_tensors,
                                    Tolerance tolerance) {
  BatchNormDiff diff;
  if (layer.a != nullptr) diff.scope_a = layer.a->scope;
  if (layer.b != nullptr) diff.scope_b = layer.b->scope;
  std::string obstacle = Obstacle(layer.a, "A");
  if (obstacle.empty()) obstacle = Obstacle(layer.b, "B");
  if (!obstacle.empty()) {
    Leave(std::move(obstacle), diff);
    return diff;
  }
  BatchNorm left = *layer.a, right = *layer.b;
  if (left.channels != right.channels) {
    Leave(std::to_string(*left.channels) + " channels against " + std::to_string(*right.channels),
          diff);
    return diff;
  }
  const bool known = SettleEpsilon(left, right, diff.note);
  if (!known) left.epsilon = right.epsilon = SourcedNumber{0, {EvidenceSource::kDefault, ""}};
  // Two assumptions that differ are no difference between the files.
  const bool both_assumed = known && IsAssumed(left) && IsAssumed(right);
  const bool same_epsilon = left.epsilon->value == right.epsilon->value;
  const bool same_formula = left.spread == right.spread && (same_epsilon || both_assumed);
  if (same_tensors && same_formula) {
    SayEqual(known, both_assumed && !same_epsilon, diff);
    return diff;
  }
  if (!IsDataPresent(a.manifest(), left) || !IsDataPresent(b.manifest(), right)) {
    Leave("data is absent", diff);
    return diff;
  }
  CKPT_ASSIGN_OR_RETURN(const BatchNormValues x, ReadValues(a, left));
  CKPT_ASSIGN_OR_RETURN(const BatchNormValues y, ReadValues(b, right));
  if (Same(x, y) && same_formula) {
    SayEqual(known, both_assumed && !same_epsilon, diff);
    return diff;
  }
  if (!known) {
    Leave(kNoEpsilon, diff);
    return diff;
  }
  std::string fault = Fault(x, "A");
  if (fault.empty()) fault = Fault(y, "B");
  if (fault.empty()) {
    CompareFunctions(x, y, tolerance, diff);
  } else {
    Leave(std::move(fault), diff);
  }
  return diff;
}

}  // namespace ckpt
