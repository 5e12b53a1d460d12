// The rules, by what they look at. Each adds its findings to the list.
#pragma once

#include <set>
#include <vector>

#include "audit/findings.h"
#include "audit/layer_values.h"
#include "audit/tensor_reader.h"
#include "ckpt/audit.h"

namespace ckpt {
class EmaWeights;
}

namespace ckpt::audit {

struct GraphFacts;

// What the rules look at. `values` has one entry per batch norm of the analysis.
struct Subject {
  const Checkpoint& checkpoint;
  const Analysis& analysis;
  TensorReader& reader;
  std::vector<LayerValues> values = {};
  const GraphFacts* graph = nullptr;  // null without an operation graph
  // Batch norms whose statistics were computed from data: nothing that the file says of updates is
  // about them.
  std::set<std::size_t> calibrated = {};
  // Where averages over time are judged: the values of the raw weights, one entry per batch norm.
  const std::vector<LayerValues>* raw_values = nullptr;

  const Manifest& manifest() const { return checkpoint.manifest(); }
  const std::vector<BatchNorm>& layers() const { return analysis.batch_norms; }
};

// BN001 to BN004, BN030: which tensors a layer has, and their sizes.
void JudgePresence(const Subject& subject, FindingList& findings);
// BN040, BN041: what the file does not say.
void JudgeRecords(const Subject& subject, FindingList& findings);
// BN020 to BN025: single numbers.
void JudgeValues(const Subject& subject, FindingList& findings);
// BN031: vectors that look exchanged.
void JudgeSwaps(const Subject& subject, FindingList& findings);
// BN010 to BN014: statistics at their initial values.
void JudgeTraining(const Subject& subject, FindingList& findings);
// BN016: statistics that were computed from data.
void JudgeCalibration(const Subject& subject, FindingList& findings);
// BN015: the weight that the initial values still have.
void JudgeInitialWeight(const Subject& subject, FindingList& findings);
// BN032: copies of a layer.
void JudgeTowers(const Subject& subject, FindingList& findings);
// BN060, BN061: what the graph of a serving artefact does.
void JudgeLayerGraph(const Subject& subject, FindingList& findings);
// BN060: a mode that whoever loads the file can switch.
void JudgeSavedMode(const Subject& subject, FindingList& findings);
// BN050 to BN052: against an older checkpoint of the same run.
void JudgeHistory(const Subject& subject, const Checkpoint& older, FindingList& findings);
// BN034: a checkpoint that was merged of others.
void JudgeMerge(const Subject& subject, const std::vector<const Checkpoint*>& parents,
                FindingList& findings);
// What the operation graph proves. GR001, GR002: whether the updates run.
void JudgeGraphUpdates(const Subject& subject, FindingList& findings);
// GR003, GR004: what is saved, and what a restore asks for.
void JudgeGraphSaving(const Subject& subject, FindingList& findings);
// BN060, GR005, GR006: what runs when it serves.
void JudgeGraphServing(const Subject& subject, FindingList& findings);
// CK003, CK004: streams every tensor.
void JudgeAllData(const Subject& subject, FindingList& findings);
// BN033: where the network leads from one batch norm to the next. Reads kernels.
void JudgeFit(const Subject& subject, FindingList& findings);
// The averages over time that --ema writes, by the rules that look at values; findings of the raw
// weights that hold for them too are not said again.
void JudgeAverages(const Subject& raw, const EmaWeights& averages, const AuditOptions& options,
                   std::vector<Finding>& findings);
// CK005, CK006: training state in the file.
void JudgeTrainingState(const Subject& subject, FindingList& findings);
// CK001, CK002, CK007, CK008: what could not be read, by now; the damage that decides the input's
// status.
std::optional<Error> JudgeReading(const Subject& subject, FindingList& findings);

}  // namespace ckpt::audit
