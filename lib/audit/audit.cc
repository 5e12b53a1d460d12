#include "ckpt/audit.h"

#include <utility>

#include "audit/graph_facts.h"
#include "audit/rules.h"

namespace ckpt {

AuditResult Audit(const Checkpoint& checkpoint, const Analysis& analysis,
                  const AuditOptions& options) {
  using namespace audit;
  TensorReader reader(checkpoint);
  Subject subject{checkpoint, analysis, reader};
  subject.values.reserve(analysis.batch_norms.size());
  for (const BatchNorm& layer : analysis.batch_norms) {
    subject.values.push_back(ReadLayer(reader, layer));
  }

  const std::unique_ptr<const GraphFacts> graph = FactsOf(checkpoint.manifest(), analysis);
  subject.graph = graph.get();

  FindingList findings(checkpoint.manifest(), analysis);
  JudgePresence(subject, findings);
  JudgeRecords(subject, findings);
  JudgeValues(subject, findings);
  JudgeSwaps(subject, findings);
  JudgeGraphUpdates(subject, findings);
  JudgeGraphSaving(subject, findings);
  JudgeGraphServing(subject, findings);
  JudgeTraining(subject, findings);
  JudgeInitialWeight(subject, findings);
  JudgeTowers(subject, findings);
  JudgeLayerGraph(subject, findings);
  JudgeSavedMode(subject, findings);
  if (options.older != nullptr) JudgeHistory(subject, *options.older, findings);
  if (options.all_data) JudgeAllData(subject, findings);
  JudgeTrainingState(subject, findings);

  AuditResult result;
  result.error = JudgeReading(subject, findings);  // last: by now everything was read
  result.read_all = options.all_data && !reader.interrupted();
  result.findings = std::move(findings).Take(options);
  return result;
}

}  // namespace ckpt
