// What the graph says of a batch norm where the file is what is served.
#include <string>

#include "audit/graph_facts.h"
#include "audit/layer_values.h"
#include "audit/rules.h"

namespace ckpt::audit {

namespace {

// BN060, but for what the operation graph of the file shows (see JudgeGraphServing).
void JudgeTrainingMode(const Subject& subject, FindingList& findings) {
  Issue training{RuleIndex::kTrainingMode, Severity::kError,
                 "batch norm in training mode in a serving artefact",
                 "It normalises with the batch that it is given and ignores the moving statistics, "
                 "so that an answer depends on the requests beside it"};
  Issue overridden{RuleIndex::kTrainingMode, Severity::kWarning,
                   "the model calls the batch norm in training mode",
                   "predict() overrides that; whoever calls the model gets answers that depend on "
                   "the requests beside each other"};
  for (std::size_t i = 0; i < subject.layers().size(); ++i) {
    const BatchNorm& batch_norm = subject.layers()[i];
    const bool by_operations =
        subject.graph != nullptr && !TrainingAtServing(*subject.graph, i).empty();
    if (batch_norm.training_mode.empty() || by_operations) continue;
    Issue& issue = batch_norm.training_mode_overridden ? overridden : training;
    issue.layers.push_back({i, TensorsOf(batch_norm), batch_norm.training_mode});
  }
  findings.Add(std::move(training));
  findings.Add(std::move(overridden));
}

void JudgeFedStatistics(const Subject& subject, FindingList& findings) {
  if (!subject.manifest().graph) return;
  Issue fed{RuleIndex::kStatisticsFed, Severity::kInfo,
            "the moving statistics are no stored constants of the graph",
            "What is fed or computed cannot be judged here"};
  for (std::size_t i = 0; i < subject.layers().size(); ++i) {
    const BatchNorm& batch_norm = subject.layers()[i];
    if (!batch_norm.layer) continue;
    const Layer& layer = subject.manifest().graph->layers[*batch_norm.layer];
    std::string what;
    for (const char* name : {"moving_mean", "moving_variance"}) {
      const auto found = layer.fed_tensors.find(name);
      if (found == layer.fed_tensors.end()) continue;
      what += (what.empty() ? "" : ", ") + std::string(name) + " is " + found->second;
    }
    if (!what.empty()) fed.layers.push_back({i, TensorsOf(batch_norm), what});
  }
  findings.Add(std::move(fed));
}

}  // namespace

void JudgeLayerGraph(const Subject& subject, FindingList& findings) {
  JudgeTrainingMode(subject, findings);
  JudgeFedStatistics(subject, findings);
}

}  // namespace ckpt::audit
