#include "ckpt/layer_profile.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "audit/initial_weight.h"
#include "ckpt/calibration_mark.h"

namespace ckpt {
namespace {

using namespace audit;

// The numbers of one layer, by LayerVector.
using ProfileVectors = std::array<std::optional<std::vector<double>>, kLayerVectors>;

std::optional<std::vector<double>>& At(ProfileVectors& vectors, LayerVector which) {
  return vectors[static_cast<std::size_t>(which)];
}

double LogVariance(SpreadKind kind, double spread) {
  const double variance = kind == SpreadKind::kVariance ? spread : spread * std::abs(spread);
  return variance > 0 ? std::log10(variance) : std::numeric_limits<double>::quiet_NaN();
}

void AddGains(const BatchNorm& layer, const LayerValues& values, ProfileVectors& out) {
  if (!layer.epsilon || (layer.gamma && !values.gamma)) return;
  const std::vector<double>& spread = *values.spread;
  if (values.gamma && values.gamma->size() != spread.size()) return;
  std::vector<double> gains(spread.size()), sizes(spread.size());
  for (std::size_t c = 0; c < spread.size(); ++c) {
    const double gamma = values.gamma ? (*values.gamma)[c] : 1;
    gains[c] = gamma / Denominator(layer.spread, spread[c], layer.epsilon->value);
    sizes[c] = std::abs(gains[c]);
  }
  At(out, LayerVector::kGain) = std::move(gains);
  At(out, LayerVector::kGainSize) = std::move(sizes);
}

ProfileVectors ProfileVectorsOf(const BatchNorm& layer, const LayerValues& values) {
  ProfileVectors out;
  At(out, LayerVector::kMean) = values.mean;
  At(out, LayerVector::kGamma) = values.gamma;
  At(out, LayerVector::kBeta) = values.beta;
  if (!values.spread) return out;
  std::vector<double> logs(values.spread->size());
  std::transform(values.spread->begin(), values.spread->end(), logs.begin(),
                 [&](double spread) { return LogVariance(layer.spread, spread); });
  At(out, LayerVector::kLogVariance) = std::move(logs);
  AddGains(layer, values, out);
  return out;
}

ProfileVectors ReadVectors(TensorReader& reader, const Analysis& analysis,
                           std::optional<std::size_t> i) {
  if (!i) return {};
  const BatchNorm& layer = analysis.batch_norms[*i];
  return ProfileVectorsOf(layer, ReadLayer(reader, layer));
}

LayerProfiles ProfileOver(const ProfileVectors& a, const ProfileVectors& b) {
  LayerProfiles out;
  for (std::size_t i = 0; i < kLayerVectors; ++i) {
    std::optional<std::pair<double, double>> range;
    for (const auto* side : {&a[i], &b[i]}) {
      const auto one = *side ? RangeOf(**side) : std::nullopt;
      if (!one) continue;
      if (!range) range = one;
      range->first = std::min(range->first, one->first);
      range->second = std::max(range->second, one->second);
    }
    if (a[i]) out.a.of[i] = DistributionOf(*a[i], range);
    if (b[i]) out.b.of[i] = DistributionOf(*b[i], range);
  }
  return out;
}

}  // namespace

std::string_view Name(LayerVector vector) noexcept {
  switch (vector) {
    case LayerVector::kMean:
      return "mean";
    case LayerVector::kLogVariance:
      return "log_variance";
    case LayerVector::kGamma:
      return "gamma";
    case LayerVector::kBeta:
      return "beta";
    case LayerVector::kGain:
      return "gain";
    case LayerVector::kGainSize:
      return "gain_size";
  }
  return "";
}

std::vector<LayerProfile> ProfileLayers(const Checkpoint& checkpoint, const Analysis& analysis) {
  TensorReader reader(checkpoint);
  Subject subject{checkpoint, analysis, reader};
  for (const BatchNorm& layer : analysis.batch_norms)
    subject.values.push_back(ReadLayer(reader, layer));
  subject.calibrated = CalibratedNorms(checkpoint, analysis);
  const auto weights = InitialWeights(subject);
  std::vector<LayerProfile> profiles(analysis.batch_norms.size());
  for (std::size_t i = 0; i < profiles.size(); ++i) {
    profiles[i] =
        ProfileOver(ProfileVectorsOf(analysis.batch_norms[i], subject.values[i]), ProfileVectors{})
            .a;
    if (!weights[i]) continue;
    profiles[i].initial = {weights[i]->weight, weights[i]->decay.value, weights[i]->count.updates,
                           weights[i]->count.source};
  }
  return profiles;
}

std::vector<LayerProfiles> ProfileBoth(const AnalysedCheckpoint& a, const AnalysedCheckpoint& b,
                                       std::span<const LayerPair> layers) {
  TensorReader reader_a(a.checkpoint), reader_b(b.checkpoint);
  std::vector<LayerProfiles> profiles;
  profiles.reserve(layers.size());
  for (const auto& [in_a, in_b] : layers) {
    profiles.push_back(ProfileOver(ReadVectors(reader_a, a.analysis, in_a),
                                   ReadVectors(reader_b, b.analysis, in_b)));
  }
  return profiles;
}

}  // namespace ckpt
