// The numbers of one batch norm, as stored.
#pragma once

#include <optional>
#include <vector>

#include "audit/tensor_reader.h"
#include "ckpt/batch_norm.h"

namespace ckpt::audit {

struct LayerValues {
  // Absent: the layer has no such tensor, or it could not be read. `spread` is the variance or, by
  // BatchNorm::spread, the standard deviation.
  std::optional<std::vector<double>> gamma, beta, mean, spread;
};

// Reads the vectors of a layer that has a statistic or is a batch norm for sure; of others nothing
// (they may be layer norms, which are not judged).
LayerValues ReadLayer(TensorReader& reader, const BatchNorm& layer);

bool HasStatistic(const BatchNorm& layer);
// It is a batch norm for sure and has none.
inline bool LacksStatistics(const BatchNorm& layer) {
  return layer.certain && !HasStatistic(layer);
}
// The tensors of the layer that exist, in the order gamma, beta, mean, variance.
std::vector<TensorId> TensorsOf(const BatchNorm& layer);
std::vector<TensorId> StatisticsOf(const BatchNorm& layer);

// sqrt(variance + epsilon), or std + epsilon: what the layer divides by. NaN or not positive where
// the function does not exist.
double Denominator(SpreadKind kind, double spread, double epsilon);

bool AllEqual(const std::vector<double>& values, double to);
// Mean 0 and variance (or deviation) 1 in every channel.
bool StatisticsInitial(const LayerValues& values);
// Gamma 1 and beta 0 in every channel, of those that the layer has; false if it has neither.
bool AffineInitial(const LayerValues& values);

}  // namespace ckpt::audit
