// BN070, BN071: stored statistics beside those of given data.
#include <algorithm>
#include <cmath>
#include <string>

#include "audit/findings.h"
#include "audit/wording.h"
#include "ckpt/drift.h"
#include "core/median.h"

namespace ckpt {
namespace {

using audit::FileIssue;
using audit::FindingList;
using audit::kNamed;
using audit::Listed;
using audit::Number;
using audit::Plural;
using audit::RuleIndex;

// Settled on trained networks, half of whose statistics were of an earlier step, and on data that
// were changed; docs/auditing_with_data.md has the figures. In deviations, and in powers of 2.
constexpr double kLayerShift = 0.1, kLayerSpread = 0.4;
// The median over the batch norms that have another before them.
constexpr double kNetworkShift = 0.05;
// What the sampling of the examples explains: so many times the standard error.
constexpr double kNoise = 2;
// So much further than the rest of the network, the first batch norms prove other data.
constexpr double kSkewed = 2;
// Layers whose numbers a message has.

bool Exceeds(const ChannelDistance& distance, double least) {
  return distance.typical > std::max(least, kNoise * distance.noise);
}
bool DriftsAlone(const LayerDrift& layer) {
  return Exceeds(layer.alone.mean_shift, kLayerShift) ||
         Exceeds(layer.alone.log2_variance, kLayerSpread);
}

// "0.52 deviations of the mean (noise 0.03), a factor 2^1.4 of the variance (noise 2^0.06)"
std::string NumbersOf(const Drift& drift) {
  const auto& [shift, spread, effective] = drift;
  return Number(shift.typical) + " deviations in the mean (noise " + Number(shift.noise) +
         ", at most " + Number(shift.largest) + ") and 2^" + Number(spread.typical) +
         " in the variance (noise 2^" + Number(spread.noise) + ")";
}

class DriftVerdict {
 public:
  DriftVerdict(const Analysis& analysis, const DataDrift& drift)
      : analysis_(analysis), drift_(drift) {
    for (const LayerDrift& layer : drift.layers) (layer.first ? first_ : behind_).push_back(&layer);
    for (const LayerDrift* layer : first_) {
      first_shift_ = std::max(first_shift_, layer->alone.mean_shift.typical);
    }
    std::vector<double> shifts, noises;
    for (const LayerDrift* layer : behind_) {
      shifts.push_back(layer->alone.mean_shift.typical);
      noises.push_back(layer->alone.mean_shift.noise);
    }
    if (behind_.empty()) return;
    shift_ = MedianOf(std::move(shifts));
    noise_ = MedianOf(std::move(noises));
  }

  void AddTo(FindingList& findings) const {
    const std::vector<const LayerDrift*> first = Drifting(first_), behind = Drifting(behind_);
    const bool everywhere =
        !behind_.empty() &&
        (shift_ > std::max(kNetworkShift, kNoise * noise_) || 2 * behind.size() >= behind_.size());
    const bool first_stand_out = first_shift_ > kSkewed * shift_;
    if (!first.empty() && !behind_.empty() && (!everywhere || first_stand_out)) {
      return AddSkew(first, behind.size(), findings);
    }
    if (everywhere) return AddStale(!first.empty(), findings);
    std::vector<const LayerDrift*> some = first;
    some.insert(some.end(), behind.begin(), behind.end());
    if (!some.empty()) AddSome(some, findings);
  }

 private:
  static std::vector<const LayerDrift*> Drifting(const std::vector<const LayerDrift*>& layers) {
    std::vector<const LayerDrift*> drifting;
    std::copy_if(layers.begin(), layers.end(), std::back_inserter(drifting),
                 [](const LayerDrift* layer) { return DriftsAlone(*layer); });
    return drifting;
  }
  const BatchNorm& NormOf(const LayerDrift& layer) const {
    return analysis_.batch_norms[layer.layer];
  }
  std::string Described(std::vector<const LayerDrift*> layers) const {
    std::stable_sort(layers.begin(), layers.end(), [](const LayerDrift* a, const LayerDrift* b) {
      return a->alone.mean_shift.typical > b->alone.mean_shift.typical;
    });
    std::vector<std::string> texts;
    for (const LayerDrift* layer : layers) {
      texts.push_back(NormOf(*layer).scope + " by " + NumbersOf(layer->alone));
    }
    return Listed(texts, kNamed);
  }
  std::string Over() const { return "over " + Plural(drift_.examples, "example") + ", "; }

  FileIssue IssueOf(RuleIndex rule, const std::vector<const LayerDrift*>& layers,
                    std::string message) const {
    FileIssue issue{rule, Severity::kWarning};
    std::vector<std::string> scopes;
    for (const LayerDrift* layer : layers) {
      scopes.push_back(NormOf(*layer).scope);
      for (const auto& id : {NormOf(*layer).moving_mean, NormOf(*layer).moving_variance}) {
        if (id) issue.tensors.push_back(*id);
      }
    }
    issue.subject = layers.size() <= kNamed ? Listed(scopes, kNamed)
                                            : std::to_string(layers.size()) + " of " +
                                                  Plural(drift_.layers.size(), "batch norm");
    issue.message = std::move(message);
    return issue;
  }

  void AddSkew(const std::vector<const LayerDrift*>& first, std::size_t others,
               FindingList& findings) const {
    std::string message =
        Over() +
        "what the first batch norms read is far from their statistics: " + Described(first) +
        "; those behind agree with theirs once the ones before use the data's (" + Number(shift_) +
        " deviations, noise " + Number(noise_) + ")";
    if (others > 0) message += ", but for " + Plural(others, "batch norm");
    message += ". The data differ from those of training, not the record";
    findings.Add(IssueOf(RuleIndex::kInputSkew, first, std::move(message)));
  }

  void AddStale(bool first_too, FindingList& findings) const {
    std::vector<const LayerDrift*> layers;
    for (const LayerDrift& layer : drift_.layers) {
      if (DriftsAlone(layer) || Exceeds(layer.alone.mean_shift, kNetworkShift)) {
        layers.push_back(&layer);
      }
    }
    std::string message =
        Over() +
        "layers all over the network are far from their statistics, also where those before use "
        "the data's: " +
        Described(layers) + "; the median of the batch norms behind another is " + Number(shift_) +
        " deviations (noise " + Number(noise_) + "). The record is not of these weights";
    if (first_too) message += ", or the data are of another kind than those of training";
    findings.Add(IssueOf(RuleIndex::kFarFromData, layers, std::move(message)));
  }

  void AddSome(const std::vector<const LayerDrift*>& layers, FindingList& findings) const {
    std::string message = Over() +
                          "statistics are far from the data's, also where the layers "
                          "before use the data's: " +
                          Described(layers);
    message += behind_.empty() ? ". No batch norm lies behind that would tell other data from a "
                                 "wrong record"
                               : ". The others agree (" + Number(shift_) + " deviations, noise " +
                                     Number(noise_) +
                                     "): the record of these is wrong, or the data are of another "
                                     "kind (other classes) than those of training";
    findings.Add(IssueOf(RuleIndex::kFarFromData, layers, std::move(message)));
  }

  const Analysis& analysis_;
  const DataDrift& drift_;
  std::vector<const LayerDrift*> first_, behind_;
  double first_shift_ = 0;
  double shift_ = 0, noise_ = 0;  // medians of those behind
};

}  // namespace

void JudgeDrift(const Checkpoint& checkpoint, const Analysis& analysis, const DataDrift& drift,
                const AuditOptions& options, AuditResult& audited) {
  if (drift.examples < kFewestJudgedExamples) return;
  FindingList list(checkpoint.manifest(), analysis);
  DriftVerdict(analysis, drift).AddTo(list);
  for (Finding& finding : std::move(list).Take(options)) {
    const auto place =
        std::find_if(audited.findings.begin(), audited.findings.end(),
                     [&](const Finding& said) { return said.severity < finding.severity; });
    audited.findings.insert(place, std::move(finding));
  }
}

}  // namespace ckpt
