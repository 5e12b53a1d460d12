#include <algorithm>
#include <cmath>
#include <string>

#include "audit/rules.h"

namespace ckpt::audit {
namespace {

// Shares and medians of fewer channels say nothing.
constexpr std::size_t kMinChannels = 8;

double Median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

double NegativeShare(const std::vector<double>& values) {
  const auto negative =
      std::count_if(values.begin(), values.end(), [](double value) { return value < 0; });
  return static_cast<double>(negative) / static_cast<double>(values.size());
}

bool AllPositive(const std::optional<std::vector<double>>& values) {
  return values && values->size() >= kMinChannels &&
         std::all_of(values->begin(), values->end(), [](double value) { return value > 0; });
}

// A true variance is never negative, so one with many negative channels is another vector, and
// one that is positive throughout may be the variance.
std::string VarianceElsewhere(const LayerValues& values) {
  if (!values.spread || values.spread->size() < kMinChannels) return "";
  if (NegativeShare(*values.spread) < 0.1) return "";
  if (AllPositive(values.mean)) return "moving variance and moving mean";
  if (AllPositive(values.beta)) return "moving variance and beta";
  return "";
}

// A trained gamma keeps near its initial 1 or shrinks, seldom changing sign; one that scatters
// around 0 beside a vector that is positive throughout and near 1 has changed places with it.
std::string GammaElsewhere(const LayerValues& values) {
  if (!values.gamma || values.gamma->size() < kMinChannels) return "";
  if (NegativeShare(*values.gamma) < 0.25) return "";
  for (const auto& [vector, name] :
       {std::pair(&values.beta, "gamma and beta"), std::pair(&values.mean, "gamma and mean")}) {
    if (!AllPositive(*vector)) continue;
    const double median = Median(**vector);
    if (median < 0.3 || median > 3 || std::fabs(Median(*values.gamma)) > median / 4) continue;
    return name;
  }
  return "";
}

}  // namespace

void JudgeSwaps(const Subject& subject, FindingList& findings) {
  const std::string consequence = "Each channel is scaled and shifted by the wrong numbers";
  Issue variance{RuleIndex::kSwappedValues, Severity::kWarning, "vectors look swapped",
                 consequence};
  Issue gamma = variance;
  std::size_t judged = 0;
  for (std::size_t i = 0; i < subject.layers().size(); ++i) {
    const LayerValues& values = subject.values[i];
    if (values.gamma && values.gamma->size() >= kMinChannels) ++judged;
    const std::vector<TensorId> tensors = TensorsOf(subject.layers()[i]);
    if (std::string pair = VarianceElsewhere(values); !pair.empty()) {
      variance.layers.push_back({i, tensors, std::move(pair)});
    } else if (pair = GammaElsewhere(values); !pair.empty()) {
      gamma.layers.push_back({i, tensors, std::move(pair)});
    }
  }
  findings.Add(std::move(variance));
  // Only a converter's mistake, which repeats itself, is told from an odd layer.
  if (2 * gamma.layers.size() > judged) findings.Add(std::move(gamma));
}

}  // namespace ckpt::audit
