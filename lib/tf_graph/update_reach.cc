#include <algorithm>
#include <map>

#include "ckpt/op_training.h"
#include "tf_graph/train_roots.h"

namespace ckpt {
namespace {

// Train operations, and operations after them, that are looked at one by one.
constexpr std::size_t kMaxRoots = 8;
constexpr std::size_t kMaxSinks = 16;

class ReachTracer {
 public:
  ReachTracer(const OpBodies& bodies, const OpBatchNorms& found)
      : bodies_(bodies), found_(found), train_(tf_graph::FindTrainRoots(bodies)) {}

  UpdateReach Trace() {
    if (!train_.optimizes || train_.roots.empty()) return {};
    reach_.roots_recorded = train_.recorded;
    for (const OpRef root : train_.roots) reach_.roots.push_back(bodies_.Describe(root));
    const OpSet running = RunningWith(bodies_, train_.roots);
    GroupByVariable(running);
    CountPerRoot();
    FindUntouched(running);
    TryFetches();
    reach_.verdict = Verdict();
    return std::move(reach_);
  }

 private:
  void GroupByVariable(const OpSet& running) {
    std::map<std::string, std::size_t> index;
    for (const OpUpdate& update : found_.updates) {
      const auto [it, added] = index.emplace(update.variable, reach_.variables.size());
      if (added) reach_.variables.push_back({update.variable, update.variance});
      UpdatedVariable& variable = reach_.variables[it->second];
      ++variable.updates;
      if (running.Has(update.op)) {
        if (!variable.runs) variable.runs_example = bodies_.Describe(update.op);
        variable.runs = true;
        ++variable.updates_run;
      } else if (variable.example.empty()) {
        variable.example = bodies_.Describe(update.op);
      }
    }
  }

  std::size_t CountRunning(const OpSet& running) const {
    std::map<std::string, bool> runs;
    for (const OpUpdate& update : found_.updates) {
      if (running.Has(update.op)) runs[update.variable] = true;
    }
    return runs.size();
  }

  void CountPerRoot() {
    if (train_.roots.size() < 2 || train_.roots.size() > kMaxRoots) return;
    for (const OpRef root : train_.roots) {
      reach_.run_with_root.push_back(CountRunning(RunningWith(bodies_, {root})));
    }
  }

  // Batch norms that normalise with the batch in training and have no update at all.
  void FindUntouched(const OpSet& running) {
    std::vector<bool> updated(found_.norms.size(), false);
    std::map<std::string, bool> written;
    for (const OpUpdate& update : found_.updates) {
      written[update.variable] = true;
      for (const std::size_t norm : update.norms) updated[norm] = true;
    }
    for (std::size_t i = 0; i < found_.norms.size(); ++i) {
      const OpBatchNorm& norm = found_.norms[i];
      const bool trains =
          norm.mode == OpBatchNormMode::kTraining || norm.mode == OpBatchNormMode::kSwitched;
      if (!trains || updated[i] || !running.Has({norm.body, norm.output})) continue;
      if (written.count(norm.moving_mean) || written.count(norm.moving_variance)) continue;
      reach_.without_update.push_back(i);
    }
  }

  // An operation after the train operations may pull the updates in: tf.group after minimize.
  void TryFetches() {
    const auto left = static_cast<std::size_t>(
        std::count_if(reach_.variables.begin(), reach_.variables.end(),
                      [](const UpdatedVariable& variable) { return !variable.runs; }));
    if (left == 0) return;
    std::size_t best = 0;
    std::vector<OpRef> sinks = tf_graph::SinksAfter(bodies_, train_.roots);
    if (sinks.size() > kMaxSinks) sinks.resize(kMaxSinks);
    for (const OpRef sink : sinks) {
      const OpSet running = RunningWith(bodies_, {sink});
      std::map<std::string, bool> pulled;
      for (const OpUpdate& update : found_.updates) {
        if (running.Has(update.op)) pulled[update.variable] = true;
      }
      std::size_t gained = 0;
      for (const UpdatedVariable& variable : reach_.variables) {
        gained += !variable.runs && pulled.count(variable.variable) != 0;
      }
      if (gained <= best) continue;
      best = gained;
      reach_.fetch = bodies_.Describe(sink);
      for (UpdatedVariable& variable : reach_.variables) {
        variable.runs_with_fetch = !variable.runs && pulled.count(variable.variable) != 0;
      }
    }
  }

  UpdateVerdict Verdict() const {
    const std::vector<UpdatedVariable>& variables = reach_.variables;
    if (variables.empty()) {
      return reach_.without_update.empty() ? UpdateVerdict::kNoBatchNorm
                                           : UpdateVerdict::kNoUpdateOp;
    }
    const auto runs = [](const UpdatedVariable& variable) { return variable.runs; };
    const auto fetched = [](const UpdatedVariable& variable) {
      return variable.runs || variable.runs_with_fetch;
    };
    if (std::all_of(variables.begin(), variables.end(), runs)) {
      if (!reach_.without_update.empty()) return UpdateVerdict::kPartlyRun;
      const bool partly = std::any_of(variables.begin(), variables.end(),
                                      [](const auto& variable) { return variable.RunsPartly(); });
      return partly ? UpdateVerdict::kSomeCallsRun : UpdateVerdict::kAllRun;
    }
    if (std::all_of(variables.begin(), variables.end(), fetched)) {
      return UpdateVerdict::kOnlyIfFetched;
    }
    return std::any_of(variables.begin(), variables.end(), fetched) ? UpdateVerdict::kPartlyRun
                                                                    : UpdateVerdict::kNoneRuns;
  }

  const OpBodies& bodies_;
  const OpBatchNorms& found_;
  const tf_graph::TrainRoots train_;
  UpdateReach reach_ = {};
};

}  // namespace

UpdateReach TraceUpdates(const OpBodies& bodies, const OpBatchNorms& found) {
  return ReachTracer(bodies, found).Trace();
}

}  // namespace ckpt
