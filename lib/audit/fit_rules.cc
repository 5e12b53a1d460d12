// BN033: do stored means fit the network around them?
#include <algorithm>
#include <cmath>
#include <random>
#include <string>

#include "audit/predicted_means.h"
#include "audit/rules.h"
#include "audit/wording.h"
#include "calibration/measured_norms.h"

namespace ckpt::audit {
namespace {

using Numbers = std::vector<double>;

// What one weight may take, and all that is predicted.
constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 28;
// Fewer channels have too few orders, and a good record may come out like another order of it.
constexpr std::size_t kFewestChannels = 16;
// Means that differ less from channel to channel, in deviations, tell no order from another.
constexpr double kLeastSpread = 0.1;
// A channel of no variance would outweigh all others.
constexpr double kLargestDistance = 3;
constexpr std::size_t kOrders = 499;
// A record that fits is nearer than all but so many of them: each of the 55 layers of public
// networks that this was settled on is nearer than every one.
constexpr std::size_t kNearer = 5;
// Layers for which the record that would fit is looked for.
constexpr std::size_t kMostExplained = 16;

struct StoredRecord {
  const Numbers& mean;
  Numbers deviation;
};
StoredRecord RecordOf(const MeasuredNorm& norm) {
  StoredRecord record{norm.stored.mean, norm.stored.variance};
  for (double& element : record.deviation) element = std::sqrt(element + norm.epsilon);
  return record;
}

// Mean over the channels of |predicted - stored| / deviation, the prediction in another order.
double DistanceOf(const Numbers& predicted, const std::vector<std::size_t>& order,
                  const StoredRecord& record) {
  double sum = 0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    const double distance = std::abs(predicted[order[i]] - record.mean[i]) / record.deviation[i];
    sum += std::min(distance, kLargestDistance);
  }
  return sum / static_cast<double>(order.size());
}

// The standard deviation over the channels, in deviations of each.
double SpreadOf(const Numbers& values, const StoredRecord& record) {
  const double count = static_cast<double>(values.size());
  double mean = 0, squares = 0;
  for (std::size_t i = 0; i < values.size(); ++i) mean += values[i] / record.deviation[i] / count;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double d = values[i] / record.deviation[i] - mean;
    squares += d * d / count;
  }
  return std::sqrt(squares);
}

struct Fit {
  double distance = 0, of_orders = 0;  // of the record as it is; the median of other orders
  bool fits = true;
};
// Nothing where the means of all channels are much alike, so that nothing can be told.
std::optional<Fit> FitOf(const Numbers& predicted, const StoredRecord& record) {
  if (predicted.size() != record.mean.size() || predicted.size() < kFewestChannels ||
      SpreadOf(predicted, record) < kLeastSpread || SpreadOf(record.mean, record) < kLeastSpread) {
    return std::nullopt;
  }
  std::vector<std::size_t> order(predicted.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  Fit fit{DistanceOf(predicted, order, record)};
  std::mt19937_64 random(1);
  Numbers of_orders;
  for (std::size_t k = 0; k < kOrders; ++k) {
    for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random() % i]);
    of_orders.push_back(DistanceOf(predicted, order, record));
  }
  std::sort(of_orders.begin(), of_orders.end());
  fit.of_orders = of_orders[kOrders / 2];
  fit.fits = fit.distance < of_orders[kNearer];
  return fit;
}

// The one other layer whose record fits here, if there is one.
std::string WhoseFits(const Subject& subject, const MeasuredNorms& measured,
                      const MeasuredNorm& norm, const Numbers& predicted) {
  std::string scope;
  for (const MeasuredNorm& other : measured.norms) {
    if (other.layer == norm.layer) continue;
    const std::optional<Fit> fit = FitOf(predicted, RecordOf(other));
    if (!fit || !fit->fits) continue;
    if (!scope.empty()) return "";
    scope = subject.layers()[other.layer].scope;
  }
  return scope;
}

}  // namespace

void JudgeFit(const Subject& subject, FindingList& findings) {
  const auto net = subject.checkpoint.MakeNetwork();
  if (!net) return;
  // What cannot be read is said elsewhere.
  const auto measured = FindMeasuredNorms(*net, subject.checkpoint, subject.analysis);
  if (!measured || measured->norms.empty()) return;
  const auto predicted = PredictMoments(*net, subject.checkpoint, kMostBytes);
  Issue issue{RuleIndex::kStatisticsMisfit, Severity::kWarning,
              "the stored means are no nearer to those that the network leads to than in a random "
              "order of the channels",
              "The statistics are another layer's, another checkpoint's, or in another order: each "
              "channel is normalised by the wrong numbers"};
  for (const MeasuredNorm& norm : measured->norms) {
    const auto& moments = predicted[norm.InputIn(*net).index];
    if (!moments) continue;
    const std::optional<Fit> fit = FitOf(moments->mean, RecordOf(norm));
    if (!fit || fit->fits) continue;
    std::string detail =
        Number(fit->distance) + " deviations, " + Number(fit->of_orders) + " in other orders";
    if (issue.layers.size() < kMostExplained) {
      const std::string other = WhoseFits(subject, *measured, norm, moments->mean);
      if (!other.empty()) detail += "; those of \"" + other + "\" fit";
    }
    issue.layers.push_back({norm.layer, StatisticsOf(subject.layers()[norm.layer]), detail});
  }
  std::sort(issue.layers.begin(), issue.layers.end(),
            [](const LayerIssue& a, const LayerIssue& b) { return a.layer < b.layer; });
  findings.Add(std::move(issue));
}

}  // namespace ckpt::audit
