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

std::size_t NegativeCount(const std::vector<double>& values) {
  return static_cast<std::size_t>(
      std::count_if(values.begin(), values.end(), [](double value) { return value < 0; }));
}

bool AllPositive(const std::optional<std::vector<double>>& values) {
  return values && !values->empty() &&
         std::all_of(values->begin(), values->end(), [](double value) { return value > 0; });
}

// A true variance is never negative, so one with negative channels is another vector, and one that
// is positive throughout may be the variance.
std::string VarianceElsewhere(const LayerValues& values) {
  if (!values.spread || NegativeCount(*values.spread) == 0) return "";
  if (AllPositive(values.mean)) return "moving variance and moving mean";
  if (AllPositive(values.beta)) return "moving variance and beta";
  return "";
}

// A trained gamma keeps near its initial 1 or shrinks, seldom changing sign; one that scatters
// around 0 beside a vector that is positive throughout and near 1 has changed places with it.
std::string GammaElsewhere(const LayerValues& values) {
  if (!values.gamma || values.gamma->size() < kMinChannels) return "";
  if (4 * NegativeCount(*values.gamma) < values.gamma->size()) return "";
  for (const auto& [vector, name] :
       {std::pair(&values.beta, "gamma and beta"), std::pair(&values.mean, "gamma and mean")}) {
    if (!AllPositive(*vector) || (*vector)->size() < kMinChannels) continue;
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
  std::size_t judged = 0, channels = 0, negative = 0;
  for (std::size_t i = 0; i < subject.layers().size(); ++i) {
    const LayerValues& values = subject.values[i];
    if (values.gamma && values.gamma->size() >= kMinChannels) ++judged;
    const std::vector<TensorId> tensors = TensorsOf(subject.layers()[i]);
    if (std::string pair = VarianceElsewhere(values); !pair.empty()) {
      variance.layers.push_back({i, tensors, std::move(pair)});
      channels += values.spread->size();
      negative += NegativeCount(*values.spread);
    } else if (pair = GammaElsewhere(values); !pair.empty()) {
      gamma.layers.push_back({i, tensors, std::move(pair)});
    }
  }
  // Only a converter's mistake, which repeats itself, is told from an odd channel or layer.
  if (channels >= kMinChannels && 5 * negative > channels) findings.Add(std::move(variance));
  if (2 * gamma.layers.size() > judged) findings.Add(std::move(gamma));
}

}  // namespace ckpt::audit
