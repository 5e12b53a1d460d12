#include <algorithm>
#include <string>

#include "audit/rules.h"
#include "averages/ema_weights.h"

namespace ckpt::audit {
namespace {

bool IsSaid(const std::vector<Finding>& findings, const Finding& finding) {
  return std::any_of(findings.begin(), findings.end(), [&](const Finding& said) {
    return said.rule == finding.rule && said.layers == finding.layers;
  });
}

}  // namespace

void JudgeAverages(const Subject& raw, const EmaWeights& averages, const AuditOptions& options,
                   std::vector<Finding>& findings) {
  TensorReader reader(averages);
  Subject subject{averages, raw.analysis, reader};
  subject.raw_values = &raw.values;
  for (const BatchNorm& layer : raw.layers()) subject.values.push_back(ReadLayer(reader, layer));
  FindingList list(averages.manifest(), raw.analysis);
  JudgeValues(subject, list);
  JudgeSwaps(subject, list);
  JudgeTraining(subject, list);
  std::vector<Finding> found = std::move(list).Take(options);
  std::erase_if(found, [&](const Finding& finding) {
    return finding.severity == Severity::kInfo || IsSaid(findings, finding);
  });
  for (Finding& finding : found) {
    // What a plain restore serves is the raw weights.
    finding.severity = Severity::kWarning;
    finding.message = "in the averages of the weights, " + finding.message;
    for (FindingTensor& tensor : finding.tensors) {
      if (!tensor.id) continue;
      tensor.id = averages.SourceOf(*tensor.id);
      tensor.name = raw.manifest().tensors[tensor.id->index].name;
    }
    const auto place = std::find_if(findings.begin(), findings.end(), [](const Finding& said) {
      return said.severity < Severity::kWarning;
    });
    findings.insert(place, std::move(finding));
  }
}

}  // namespace ckpt::audit
