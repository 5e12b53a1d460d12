#include "audit/layer_values.h"

#include <algorithm>
#include <cmath>

namespace ckpt::audit {

bool HasStatistic(const BatchNorm& layer) { return layer.moving_mean || layer.moving_variance; }

std::vector<TensorId> TensorsOf(const BatchNorm& layer) {
  std::vector<TensorId> ids;
  for (const auto& id : {layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance}) {
    if (id) ids.push_back(*id);
  }
  return ids;
}

std::vector<TensorId> StatisticsOf(const BatchNorm& layer) {
  std::vector<TensorId> ids;
  for (const auto& id : {layer.moving_mean, layer.moving_variance}) {
    if (id) ids.push_back(*id);
  }
  return ids;
}

LayerValues ReadLayer(TensorReader& reader, const BatchNorm& layer) {
  if (!layer.certain && !HasStatistic(layer)) return {};
  const auto read = [&](const std::optional<TensorId>& id) {
    return id ? reader.Doubles(*id) : std::nullopt;
  };
  LayerValues values;
  values.gamma = read(layer.gamma);
  values.beta = read(layer.beta);
  values.mean = read(layer.moving_mean);
  values.spread = read(layer.moving_variance);
  return values;
}

double Denominator(SpreadKind kind, double spread, double epsilon) {
  return kind == SpreadKind::kVariance ? std::sqrt(spread + epsilon) : spread + epsilon;
}

bool AllEqual(const std::vector<double>& values, double to) {
  return std::all_of(values.begin(), values.end(), [&](double value) { return value == to; });
}

bool StatisticsInitial(const LayerValues& values) {
  return values.mean && values.spread && !values.mean->empty() && AllEqual(*values.mean, 0) &&
         AllEqual(*values.spread, 1);
}

bool AffineInitial(const LayerValues& values) {
  if (!values.gamma && !values.beta) return false;
  return (!values.gamma || AllEqual(*values.gamma, 1)) &&
         (!values.beta || AllEqual(*values.beta, 0));
}

}  // namespace ckpt::audit
