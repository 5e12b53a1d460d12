#include "ckpt/trend.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <utility>

#include "audit/update_count.h"
#include "trend/norm_step.h"
#include "trend/run_findings.h"

namespace ckpt {

std::string_view Name(Movement movement) noexcept {
  switch (movement) {
    case Movement::kUnknown:
      break;
    case Movement::kSame:
      return "same";
    case Movement::kMoved:
      return "moved";
  }
  return "unknown";
}

std::string_view Name(TrendVerdict verdict) noexcept {
  switch (verdict) {
    case TrendVerdict::kCannotTell:
      break;
    case TrendVerdict::kMoving:
      return "moving";
    case TrendVerdict::kFrozenDrift:
      return "frozen-drift";
    case TrendVerdict::kStopped:
      return "stopped";
    case TrendVerdict::kReset:
      return "reset";
    case TrendVerdict::kNeverUpdated:
      return "never-updated";
    case TrendVerdict::kNonFinite:
      return "non-finite";
  }
  return "cannot-tell";
}

class TrendBuilder::Run {
 public:
  void Add(std::string name, std::unique_ptr<Checkpoint> checkpoint, Analysis analysis) {
    names_.push_back(std::move(name));
    const std::size_t step = names_.size() - 1;
    audit::TensorReader reader(*checkpoint);
    audit::Subject subject{*checkpoint, analysis, reader};
    for (const BatchNorm& layer : analysis.batch_norms) {
      subject.values.push_back(audit::ReadLayer(reader, layer));
    }
    trend_.recorded_steps.push_back(audit::StepOf(subject));
    std::unique_ptr<audit::CheckpointChange> change;
    if (last_) change = std::make_unique<audit::CheckpointChange>(*checkpoint, analysis, *last_);
    std::map<TensorId, std::size_t> norm_of;
    for (NormTrend& norm : trend_.norms) norm.layer.reset();
    for (std::size_t i = 0; i < analysis.batch_norms.size(); ++i) {
      const BatchNorm& layer = analysis.batch_norms[i];
      if (!layer.moving_mean || !layer.moving_variance) continue;
      const std::size_t norm = NormOf(layer, change.get());
      norm_of[*layer.moving_mean] = norm;
      NormTrend& followed = trend_.norms[norm];
      followed.scope = layer.scope;
      followed.channels = layer.channels;
      followed.layer = i;
      followed.steps.resize(step);
      followed.steps.push_back(trend::StepOf(subject, i, change.get()));
    }
    for (NormTrend& norm : trend_.norms) norm.steps.resize(step + 1);
    norm_of_ = std::move(norm_of);
    change.reset();
    last_ = std::move(checkpoint);
    analysis_ = std::move(analysis);
  }

  RunTrend Finish() && {
    for (NormTrend& norm : trend_.norms) trend::FindTurns(norm);
    std::stable_sort(trend_.norms.begin(), trend_.norms.end(),
                     [](const NormTrend& a, const NormTrend& b) {
                       return a.layer.value_or(SIZE_MAX) < b.layer.value_or(SIZE_MAX);
                     });
    audit::FindingList findings(last_->manifest(), analysis_);
    trend::JudgeRun(names_, analysis_, trend_, findings);
    trend_.findings = std::move(findings).Take({});
    return std::move(trend_);
  }

 private:
  // The norm that the layer was in the checkpoint before, or a new one.
  std::size_t NormOf(const BatchNorm& layer, const audit::CheckpointChange* change) {
    if (change != nullptr) {
      if (const auto older = change->Older(*layer.moving_mean)) {
        if (const auto known = norm_of_.find(*older); known != norm_of_.end()) return known->second;
      }
    }
    trend_.norms.emplace_back();
    return trend_.norms.size() - 1;
  }

  std::vector<std::string> names_;
  RunTrend trend_;
  std::unique_ptr<Checkpoint> last_;
  Analysis analysis_;                        // of it
  std::map<TensorId, std::size_t> norm_of_;  // by its moving means: an index into the norms
};

TrendBuilder::TrendBuilder() : run_(std::make_unique<Run>()) {}
TrendBuilder::~TrendBuilder() = default;
TrendBuilder::TrendBuilder(TrendBuilder&&) noexcept = default;
TrendBuilder& TrendBuilder::operator=(TrendBuilder&&) noexcept = default;

void TrendBuilder::Add(std::string name, std::unique_ptr<Checkpoint> checkpoint,
                       Analysis analysis) {
  run_->Add(std::move(name), std::move(checkpoint), std::move(analysis));
}

RunTrend TrendBuilder::Finish() && { return std::move(*run_).Finish(); }

}  // namespace ckpt
