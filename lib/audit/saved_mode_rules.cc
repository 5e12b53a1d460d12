// A file that is served as it is and was saved in training mode.
#include "audit/layer_values.h"
#include "audit/rules.h"

namespace ckpt::audit {

void JudgeSavedMode(const Subject& subject, FindingList& findings) {
  Issue issue{RuleIndex::kTrainingMode, Severity::kWarning,
              "batch norm saved in training mode in a serving artefact",
              "Unless whoever loads the file calls eval(), it normalises with the batch that it is "
              "given, and each request changes the moving statistics"};
  for (std::size_t i = 0; i < subject.layers().size(); ++i) {
    const BatchNorm& layer = subject.layers()[i];
    if (layer.saved_in_training) issue.layers.push_back({i, TensorsOf(layer)});
  }
  issue.fix = "call eval() before torch.jit.save, or after every torch.jit.load";
  findings.Add(std::move(issue));
}

}  // namespace ckpt::audit
