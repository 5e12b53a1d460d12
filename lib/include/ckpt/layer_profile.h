// How the values of batch norms are distributed: what pictures of a checkpoint are drawn from.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ckpt/batch_norm.h"

namespace ckpt {

// A histogram has no more bins than these, whatever it is of.
inline constexpr std::size_t kHistogramBins = 24;

// Numbers that are not finite are counted and else left out.
struct Distribution {
  std::uint64_t finite = 0, not_finite = 0;
  // Of the finite ones; 0 where there are none. `low` and `high` are the 5th and the 95th
  // percentile (nearest rank); the deviation is over n.
  double least = 0, low = 0, median = 0, high = 0, most = 0, mean = 0, deviation = 0;
  // Counts in bins of equal width over [from, to]; one bin where all numbers are equal, none where
  // there is no finite one.
  double from = 0, to = 0;
  std::vector<std::uint64_t> bins = {};
};

// The least and the greatest finite number; absent where there is none.
std::optional<std::pair<double, double>> RangeOf(std::span<const double> values);
// `over` takes the place of the range of the values, which must lie in it: two distributions over
// one range can be laid over each other.
Distribution DistributionOf(std::span<const double> values,
                            std::optional<std::pair<double, double>> over = {});

// What there is of each channel of a batch norm.
enum class LayerVector : std::uint8_t {
  kMean,
  kLogVariance,  // to base 10; a variance of 0 or below counts as not finite
  kGamma,
  kBeta,
  kGain,      // gamma / sqrt(variance + epsilon)
  kGainSize,  // its absolute value
};
inline constexpr std::size_t kLayerVectors = 6;
std::string_view Name(LayerVector vector) noexcept;  // "mean", "log_variance", "gamma", ...

// The weight that the initial values still have in the moving statistics: decay^updates.
struct InitialValues {
  double weight = 0, decay = 0, updates = 0;
  std::string counted_by = {};  // the name of the counter
};

struct LayerProfile {
  // By LayerVector. Absent: the layer has no such tensor, its data could not be read, or (gains)
  // nothing says the epsilon.
  std::array<std::optional<Distribution>, kLayerVectors> of = {};
  std::optional<InitialValues> initial = {};  // absent where nothing tells it

  const std::optional<Distribution>& Of(LayerVector vector) const {
    return of[static_cast<std::size_t>(vector)];
  }
};

// One profile for each batch norm of the analysis. Reads their vectors and counters, nothing else;
// what cannot be read is left out (an audit says why), and so is what lies beyond 2^24 elements in
// all.
std::vector<LayerProfile> ProfileLayers(const Checkpoint& checkpoint, const Analysis& analysis);

// A batch norm in two checkpoints, its histograms over the same ranges. Initial shares are left
// out.
struct LayerProfiles {
  LayerProfile a, b;
};
struct AnalysedCheckpoint {
  const Checkpoint& checkpoint;
  const Analysis& analysis;
};
// By their places in either analysis; absent: that side has none.
using LayerPair = std::pair<std::optional<std::size_t>, std::optional<std::size_t>>;
std::vector<LayerProfiles> ProfileBoth(const AnalysedCheckpoint& a, const AnalysedCheckpoint& b,
                                       std::span<const LayerPair> layers);

}  // namespace ckpt
