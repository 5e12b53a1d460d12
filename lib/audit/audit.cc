#include "ckpt/audit.h"

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <utility>

#include "audit/graph_facts.h"
#include "audit/rules.h"
#include "averages/ema_weights.h"
#include "ckpt/calibration_mark.h"

namespace ckpt {
namespace {

using namespace audit;

std::vector<LayerValues> ValuesOf(TensorReader& reader, const Analysis& analysis) {
  std::vector<LayerValues> values;
  values.reserve(analysis.batch_norms.size());
  for (const BatchNorm& layer : analysis.batch_norms) values.push_back(ReadLayer(reader, layer));
  return values;
}

// Null where the file has no averages, or none that a conversion could write.
std::unique_ptr<const EmaWeights> AveragesOf(const Checkpoint& checkpoint,
                                             const Analysis& analysis) {
  auto shadows = FindShadows(checkpoint.manifest(), analysis);
  if (!shadows || shadows->empty()) return nullptr;
  return std::make_unique<EmaWeights>(checkpoint, *std::move(shadows));
}

void JudgeAll(const Subject& subject, const AuditOptions& options, FindingList& findings) {
  JudgePresence(subject, findings);
  JudgeRecords(subject, findings);
  JudgeValues(subject, findings);
  JudgeSwaps(subject, findings);
  JudgeGraphUpdates(subject, findings);
  JudgeGraphSaving(subject, findings);
  JudgeGraphServing(subject, findings);
  JudgeTraining(subject, findings);
  JudgeInitialWeight(subject, findings);
  JudgeCalibration(subject, findings);
  JudgeTowers(subject, findings);
  JudgeLayerGraph(subject, findings);
  JudgeSavedMode(subject, findings);
  if (options.older != nullptr) JudgeHistory(subject, *options.older, findings);
  if (!options.parents.empty()) JudgeMerge(subject, options.parents, findings);
  if (options.all_data) {
    JudgeAllData(subject, findings);
    JudgeFit(subject, findings);
  }
  JudgeTrainingState(subject, findings);
}

}  // namespace

bool Finding::IsAbout(std::size_t layer) const {
  return std::binary_search(layers.begin(), layers.end(), layer);
}

bool Finding::IsAbout(TensorId tensor) const {
  return std::any_of(tensors.begin(), tensors.end(),
                     [&](const FindingTensor& pointed) { return pointed.id == tensor; });
}

std::vector<std::size_t> LayersOf(const Analysis& analysis,
                                  const std::vector<FindingTensor>& tensors) {
  std::set<TensorId> ids;
  for (const FindingTensor& tensor : tensors) {
    if (tensor.id) ids.insert(*tensor.id);
  }
  std::vector<std::size_t> layers;
  for (std::size_t i = 0; i < analysis.batch_norms.size(); ++i) {
    const BatchNorm& norm = analysis.batch_norms[i];
    const std::array parts = {norm.gamma, norm.beta, norm.moving_mean, norm.moving_variance};
    const bool owns =
        std::any_of(parts.begin(), parts.end(),
                    [&](const std::optional<TensorId>& id) { return id && ids.contains(*id); });
    if (owns) layers.push_back(i);
  }
  return layers;
}

AuditResult Audit(const Checkpoint& checkpoint, const Analysis& analysis,
                  const AuditOptions& options) {
  const std::unique_ptr<const EmaWeights> averages = AveragesOf(checkpoint, analysis);
  const bool of_averages = options.averages && averages != nullptr;
  const Checkpoint& judged = of_averages ? *averages : checkpoint;
  TensorReader reader(judged);
  Subject subject{judged, analysis, reader};
  subject.values = ValuesOf(reader, analysis);
  subject.calibrated = CalibratedNorms(judged, analysis);
  std::vector<LayerValues> raw_values;
  if (of_averages) {
    TensorReader raw_reader(checkpoint);
    raw_values = ValuesOf(raw_reader, analysis);
    subject.raw_values = &raw_values;
  }
  const std::unique_ptr<const GraphFacts> graph = FactsOf(checkpoint.manifest(), analysis);
  subject.graph = graph.get();

  FindingList findings(judged.manifest(), analysis);
  JudgeAll(subject, options, findings);
  AuditResult result;
  result.error = JudgeReading(subject, findings);  // last: by now everything was read
  result.read_all = options.all_data && !reader.interrupted();
  result.findings = std::move(findings).Take(options);
  if (averages && !of_averages) JudgeAverages(subject, *averages, options, result.findings);
  return result;
}

}  // namespace ckpt
