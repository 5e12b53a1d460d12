#include <algorithm>
#include <cmath>
#include <string>

#include "audit/checkpoint_change.h"
#include "audit/rules.h"
#include "audit/same_tensor.h"
#include "audit/wording.h"
#include "ckpt/error_words.h"

namespace ckpt::audit {
namespace {

class HistoryJudge {
 public:
  HistoryJudge(const Subject& subject, const Checkpoint& older)
      : subject_(subject), change_(subject.checkpoint, subject.analysis, older) {}

  void Judge(FindingList& findings) {
    for (std::size_t i = 0; i < subject_.layers().size(); ++i) {
      if (!subject_.calibrated.contains(i)) JudgeLayer(i);
    }
    findings.Add(std::move(reset_));
    findings.Add(std::move(unchanged_));
    findings.Add(std::move(drifted_));
    findings.Add(std::move(recalibrated_));
    AddNotCompared(findings);
    if (const Error* error = change_.failure()) {
      findings.Add(FileIssue{RuleIndex::kNotJudged,
                             Severity::kInfo,
                             "",
                             {},
                             "the older checkpoint could not be read in full: " + InWords(*error)});
    }
  }

 private:
  // What was not compared, and under which other names the rest was.
  void AddNotCompared(FindingList& findings) const {
    std::size_t with_statistics = 0;
    FileIssue issue{RuleIndex::kNotJudged, Severity::kInfo};
    std::vector<std::string> scopes;
    for (const BatchNorm& layer : subject_.layers()) {
      if (!layer.moving_mean || !layer.moving_variance) continue;
      ++with_statistics;
      if (change_.Older(*layer.moving_mean) && change_.Older(*layer.moving_variance)) continue;
      scopes.push_back(layer.scope);
      for (const TensorId id : StatisticsOf(layer)) issue.tensors.push_back(id);
    }
    if (scopes.empty()) return;
    issue.message = std::to_string(scopes.size()) + " of " + Plural(with_statistics, "batch norm") +
                    " have no statistics of the same name, type and shape in the older checkpoint "
                    "and were not compared with it: " +
                    Listed(scopes, 3);
    if (!change_.how().empty()) {
      issue.message += ". Of the older checkpoint, " + change_.how();
    }
    findings.Add(std::move(issue));
  }

  void JudgeLayer(std::size_t i) {
    const BatchNorm& layer = subject_.layers()[i];
    const LayerValues& now = subject_.values[i];
    const LayerValues then = change_.OlderStatistics(layer);
    if (!now.mean || !now.spread || !then.mean || !then.spread) return;
    const LayerIssue found{i, StatisticsOf(layer)};
    if (StatisticsInitial(now) && !StatisticsInitial(then)) {
      reset_.layers.push_back({i, found.tensors, KernelsInWords(layer)});
      return;
    }
    const bool same_statistics =
        SameValues(*now.mean, *then.mean) && SameValues(*now.spread, *then.spread);
    if (same_statistics) {
      if (!layer.frozen && change_.WasTrained(layer)) unchanged_.layers.push_back(found);
    } else if (change_.OfAffine(layer) == Change::kSame &&
               change_.OfKernels(layer) == Change::kSame) {
      (change_.AnyWeightMoved() ? drifted_ : recalibrated_)
          .layers.push_back({i, found.tensors, Distance(layer, now, then)});
    }
  }

  std::string KernelsInWords(const BatchNorm& layer) {
    switch (change_.OfKernels(layer)) {
      case Change::kSame:
        return subject_.analysis.framework == Framework::kPyTorch
                   ? "the weights beside it are equal, as where parameters were loaded without "
                     "buffers"
                   : "the weights beside it are equal, as after a warm start from trainable "
                     "variables";
      case Change::kMoved:
        return "the weights beside it moved too";
      case Change::kUnknown:
        break;
    }
    return "";
  }

  static std::string Distance(const BatchNorm& layer, const LayerValues& now,
                              const LayerValues& then) {
    double shift = 0;
    for (std::size_t c = 0; c < std::min(now.mean->size(), then.spread->size()); ++c) {
      const double divisor =
          layer.spread == SpreadKind::kVariance ? std::sqrt((*then.spread)[c]) : (*then.spread)[c];
      if (divisor > 0) {
        shift = std::fmax(shift, std::fabs((*now.mean)[c] - (*then.mean)[c]) / divisor);
      }
    }
    return "means moved by up to " + Number(shift) + " standard deviations";
  }

  const Subject& subject_;
  CheckpointChange change_;

  Issue reset_{RuleIndex::kStatisticsReset, Severity::kWarning,
               "statistics that the older checkpoint had learnt are initial again",
               "Serving normalises with mean 0 and variance 1 instead of the data's"};
  Issue unchanged_{RuleIndex::kUnchangedStatistics, Severity::kWarning,
                   "the layer was trained since the older checkpoint, its statistics did not move",
                   "Unless they were frozen on purpose, serving normalises with statistics of "
                   "other weights"};
  Issue drifted_{RuleIndex::kFrozenDrift, Severity::kWarning,
                 "the layer is frozen, and its statistics moved since the older checkpoint",
                 "It no longer computes what the layers behind it were trained on"};
  Issue recalibrated_{RuleIndex::kFrozenDrift, Severity::kInfo,
                      "only statistics moved since the older checkpoint, no weight did",
                      "They were computed again over other data"};
};

}  // namespace

void JudgeHistory(const Subject& subject, const Checkpoint& older, FindingList& findings) {
  HistoryJudge(subject, older).Judge(findings);
}

}  // namespace ckpt::audit
