#include "trend/run_findings.h"

#include <algorithm>

#include "audit/layer_values.h"
#include "audit/wording.h"

namespace ckpt::trend {
namespace {

using audit::Issue;
using audit::RuleIndex;

bool StatisticsStill(const NormAtStep& step) {
  return step.present && step.statistics == Movement::kSame;
}

bool WeightsStill(const NormAtStep& step) {
  return step.weights == Movement::kSame && step.kernels == Movement::kSame;
}

// The checkpoint after which the statistics have not moved any more; nothing if they moved last, or
// the last one lacks the layer.
std::optional<std::size_t> LastMoved(const NormTrend& norm) {
  std::size_t first = norm.steps.size();
  while (first > 0 && StatisticsStill(norm.steps[first - 1])) --first;
  if (first == 0 || first == norm.steps.size() || !norm.steps[first - 1].present) {
    return std::nullopt;
  }
  return first - 1;
}

bool AnyWeightMoved(const NormTrend& norm, std::size_t after) {
  return std::any_of(norm.steps.begin() + static_cast<std::ptrdiff_t>(after) + 1, norm.steps.end(),
                     [](const NormAtStep& step) { return step.weights == Movement::kMoved; });
}

bool AllWeightsStill(const NormTrend& norm, std::size_t after) {
  return std::all_of(norm.steps.begin() + static_cast<std::ptrdiff_t>(after) + 1, norm.steps.end(),
                     [](const NormAtStep& step) { return WeightsStill(step); });
}

bool AlwaysInitial(const NormTrend& norm) {
  return std::all_of(norm.steps.begin(), norm.steps.end(),
                     [](const NormAtStep& step) { return !step.present || step.initial; });
}

// The last checkpoint that is initial again after one that was not, and all after it.
std::optional<std::size_t> ResetOf(const NormTrend& norm) {
  for (std::size_t i = norm.steps.size(); i-- > 1;) {
    const NormAtStep& before = norm.steps[i - 1];
    if (!norm.steps[i].initial) return std::nullopt;
    if (before.present && !before.initial) return i;
  }
  return std::nullopt;
}

std::optional<std::size_t> NonFiniteOf(const NormTrend& norm) {
  const auto found = std::find_if(norm.steps.begin(), norm.steps.end(),
                                  [](const NormAtStep& step) { return step.non_finite > 0; });
  if (found == norm.steps.end()) return std::nullopt;
  return static_cast<std::size_t>(found - norm.steps.begin());
}

// The first checkpoint whose statistics moved while the layer's weights stayed as they were.
std::optional<std::size_t> DriftOf(const NormTrend& norm) {
  for (std::size_t i = 1; i < norm.steps.size(); ++i) {
    const NormAtStep& step = norm.steps[i];
    if (step.statistics == Movement::kMoved && WeightsStill(step)) return i;
  }
  return std::nullopt;
}

class RunJudge {
 public:
  RunJudge(const std::vector<std::string>& names, const Analysis& analysis, RunTrend& run)
      : names_(names), analysis_(analysis), run_(run) {}

  void Judge(audit::FindingList& findings) {
    for (const NormTrend& norm : run_.norms) JudgeNorm(norm);
    for (Issue* issue : {&non_finite_, &never_, &reset_, &stopped_, &drifted_, &rested_}) {
      findings.Add(std::move(*issue));
    }
  }

 private:
  void Raise(TrendVerdict verdict) { run_.verdict = std::max(run_.verdict, verdict); }

  void Add(Issue& issue, const NormTrend& norm, TrendVerdict verdict, std::string detail) {
    Raise(verdict);
    if (!norm.layer) return;
    issue.layers.push_back(
        {*norm.layer, audit::StatisticsOf(analysis_.batch_norms[*norm.layer]), std::move(detail)});
  }

  std::string Since(std::size_t step) const { return "since " + names_[step]; }

  void JudgeNorm(const NormTrend& norm) {
    const bool compared =
        std::any_of(norm.steps.begin(), norm.steps.end(),
                    [](const NormAtStep& step) { return step.statistics != Movement::kUnknown; });
    if (norm.non_finite_since) {
      const auto step = *norm.non_finite_since;
      Add(non_finite_, norm, TrendVerdict::kNonFinite,
          Since(step) + ", there " + audit::Plural(norm.steps[step].non_finite, "value"));
    }
    if (!compared) return;
    Raise(TrendVerdict::kMoving);
    if (norm.layer && analysis_.batch_norms[*norm.layer].inference_only) return;
    const bool frozen = norm.layer && analysis_.batch_norms[*norm.layer].frozen;
    if (norm.reset_at) {
      Add(reset_, norm, TrendVerdict::kReset, Since(*norm.reset_at));
    } else if (norm.stopped_since && !frozen) {
      JudgeStopped(norm);
    } else if (const auto drift = DriftOf(norm)) {
      JudgeDrift(norm, *drift);
    }
  }

  void JudgeStopped(const NormTrend& norm) {
    if (AlwaysInitial(norm)) return Add(never_, norm, TrendVerdict::kNeverUpdated, "");
    Add(stopped_, norm, TrendVerdict::kStopped, Since(*norm.stopped_since));
  }

  // Where no weight of the model moved, the statistics were computed again.
  void JudgeDrift(const NormTrend& norm, std::size_t step) {
    const auto shift = norm.steps[step].mean_shift;
    std::string detail = "at " + names_[step];
    if (shift) detail += ", means by " + audit::Number(*shift) + " standard deviations";
    if (norm.steps[step].model_moved)
      return Add(drifted_, norm, TrendVerdict::kFrozenDrift, std::move(detail));
    Add(rested_, norm, TrendVerdict::kMoving, std::move(detail));
  }

  const std::vector<std::string>& names_;
  const Analysis& analysis_;
  RunTrend& run_;

  Issue non_finite_{RuleIndex::kNonFinite, Severity::kError, "NaN or infinite values",
                    "Serving yields NaN"};
  Issue never_{RuleIndex::kNeverUpdated, Severity::kError,
               "the statistics have their initial values in every checkpoint of the run, and the "
               "weights moved",
               "Serving normalises with mean 0 and variance 1 instead of the data's"};
  Issue reset_{RuleIndex::kStatisticsReset, Severity::kWarning,
               "statistics that the run had learnt are initial again",
               "Serving normalises with mean 0 and variance 1 instead of the data's"};
  Issue stopped_{RuleIndex::kUnchangedStatistics, Severity::kWarning,
                 "the statistics do not move any more, and the weights do",
                 "Unless they were frozen on purpose, serving normalises with statistics of other "
                 "weights"};
  Issue drifted_{RuleIndex::kFrozenDrift, Severity::kWarning,
                 "the statistics moved while the layer's weights stayed as they were",
                 "A frozen layer no longer computes what the layers behind it were trained on"};
  Issue rested_{RuleIndex::kFrozenDrift, Severity::kInfo,
                "only statistics moved from one checkpoint to the next, no weight did",
                "They were computed again over other data"};
};

}  // namespace

void FindTurns(NormTrend& norm) {
  norm.non_finite_since = NonFiniteOf(norm);
  norm.reset_at = ResetOf(norm);
  if (const auto last = LastMoved(norm)) {
    if (AnyWeightMoved(norm, *last)) norm.stopped_since = last;
    if (AllWeightsStill(norm, *last)) norm.still_since = last;
  }
}

void JudgeRun(const std::vector<std::string>& names, const Analysis& analysis, RunTrend& run,
              audit::FindingList& findings) {
  RunJudge(names, analysis, run).Judge(findings);
}

}  // namespace ckpt::trend
