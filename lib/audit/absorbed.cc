#include "audit/absorbed.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <vector>

#include "audit/wording.h"

namespace ckpt::audit {
namespace {

// Measured on public checkpoints whose gammas are known both ways. Trained gammas: medians of
// layers differ at most 7.5-fold, relative deviation at most 0.37, 1 % negative. Absorbed ones: 11-
// to 190-fold in all, deviation up to 0.6, up to two thirds of the channels above 4.
constexpr double kFold = 8, kLargeFold = 20;
constexpr double kDeviation = 0.4;
constexpr double kNegative = 0.02;
constexpr double kLarge = 4, kLargeShare = 0.25;
constexpr double kTinyEpsilon = 1e-6;
constexpr int kEnough = 2;
// The channels' deviations differ, and with them absorbed gammas; in a layer near its initial 1
// they have not been divided by any.
constexpr double kUniform = 0.05, kUniformLow = 0.5, kUniformHigh = 1.5;
constexpr std::size_t kUniformChannels = 8;
constexpr double kNearZero = 0.5;

struct GammaShape {
  double median = 0, deviation = 0;  // of |gamma|; the latter relative to its mean
  std::size_t negative = 0, large = 0, channels = 0;
};

GammaShape ShapeOf(const std::vector<double>& gamma) {
  GammaShape shape;
  shape.channels = gamma.size();
  std::vector<double> sizes;
  double sum = 0, squares = 0;
  for (const double value : gamma) {
    const double size = std::fabs(value);
    sizes.push_back(size);
    sum += size;
    squares += size * size;
    if (value < 0) ++shape.negative;
    if (size > kLarge) ++shape.large;
  }
  const double count = static_cast<double>(gamma.size());
  const double mean = sum / count;
  const auto middle = sizes.begin() + static_cast<std::ptrdiff_t>(sizes.size() / 2);
  std::nth_element(sizes.begin(), middle, sizes.end());
  shape.median = *middle;
  if (mean > 0) shape.deviation = std::sqrt(std::fmax(squares / count - mean * mean, 0)) / mean;
  return shape;
}

double MedianDeviation(std::vector<GammaShape> shapes) {
  const auto middle = shapes.begin() + static_cast<std::ptrdiff_t>(shapes.size() / 2);
  std::nth_element(
      shapes.begin(), middle, shapes.end(),
      [](const GammaShape& a, const GammaShape& b) { return a.deviation < b.deviation; });
  return middle->deviation;
}

bool NearInitial(const GammaShape& shape) {
  return shape.channels >= kUniformChannels && shape.deviation < kUniform &&
         shape.median > kUniformLow && shape.median < kUniformHigh && shape.negative == 0;
}

// The last gamma of a residual block may start at 0, and scatters around it.
bool StartedAtZero(const GammaShape& shape) {
  return shape.median < kNearZero &&
         static_cast<double>(shape.negative) >= kNegative * static_cast<double>(shape.channels) &&
         shape.negative != 0;
}

class Signs {
 public:
  void Add(int points, std::string sign) {
    points_ += points;
    signs_.push_back(std::move(sign));
  }
  std::string Text() const { return points_ >= kEnough ? Listed(signs_, signs_.size()) : ""; }

 private:
  int points_ = 0;
  std::vector<std::string> signs_;
};

Signs SignsOf(const std::vector<GammaShape>& shapes) {
  Signs signs;
  const auto [low, high] = std::minmax_element(
      shapes.begin(), shapes.end(),
      [](const GammaShape& a, const GammaShape& b) { return a.median < b.median; });
  std::size_t negative = 0, large = 0, channels = 0;
  for (const GammaShape& shape : shapes) {
    negative += shape.negative;
    large += shape.large;
    channels += shape.channels;
  }
  const auto share = [&](std::size_t count) {
    return static_cast<double>(count) / static_cast<double>(channels);
  };
  const double fold = low->median > 0 ? high->median / low->median : 1;
  if (fold >= kFold) {
    signs.Add(fold >= kLargeFold ? 2 : 1, "gamma differs " + Number(fold) + "-fold between layers");
  }
  if (share(negative) >= kNegative) {
    signs.Add(1, "gamma is negative in " + Plural(negative, "channel"));
  }
  if (share(large) >= kLargeShare) signs.Add(1, "gamma is above 4 in " + Plural(large, "channel"));
  if (const double deviation = MedianDeviation(shapes); deviation >= kDeviation) {
    signs.Add(1, "gamma spreads by " + Number(deviation) + " of its mean");
  }
  return signs;
}

}  // namespace

std::string SignsOfAbsorbing(const Subject& subject, std::span<const std::size_t> layers) {
  std::vector<GammaShape> shapes;
  bool tiny_epsilon = true;
  for (const std::size_t i : layers) {
    const LayerValues& values = subject.values[i];
    // The mean goes into beta, so a beta of 0 throughout holds none.
    if (!values.gamma || values.gamma->empty() || !values.beta || AllEqual(*values.beta, 0)) {
      return "";
    }
    shapes.push_back(ShapeOf(*values.gamma));
    const std::optional<SourcedNumber>& epsilon = subject.layers()[i].epsilon;
    tiny_epsilon = tiny_epsilon && epsilon && epsilon->value < kTinyEpsilon;
  }
  if (std::any_of(shapes.begin(), shapes.end(), NearInitial)) return "";
  std::vector<GammaShape> others;
  std::remove_copy_if(shapes.begin(), shapes.end(), std::back_inserter(others), StartedAtZero);
  Signs signs = SignsOf(others.empty() ? shapes : others);
  if (tiny_epsilon) signs.Add(1, "epsilon is next to 0");
  return signs.Text();
}

}  // namespace ckpt::audit
