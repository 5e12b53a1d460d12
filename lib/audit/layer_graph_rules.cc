// What the graph says of a batch norm where the file is what is served.
#include <string>

#include "audit/layer_values.h"
#include "audit/rules.h"

namespace ckpt::audit {

void JudgeLayerGraph(const Subject& subject, FindingList& findings) {
  if (!subject.manifest().graph) return;
  Issue training{RuleIndex::kTrainingMode, Severity::kError,
                 "batch norm in training mode in a serving artefact",
                 "It normalises with the batch that it is given and ignores the moving statistics, "
                 "so that an answer depends on the requests beside it"};
  Issue fed{RuleIndex::kStatisticsFed, Severity::kInfo,
            "the moving statistics are no stored constants of the graph",
            "What is fed or computed cannot be judged here"};
  for (std::size_t i = 0; i < subject.layers().size(); ++i) {
    const BatchNorm& batch_norm = subject.layers()[i];
    if (!batch_norm.layer) continue;
    const Layer& layer = subject.manifest().graph->layers[*batch_norm.layer];
    if (!layer.training_mode.empty()) {
      training.layers.push_back({i, TensorsOf(batch_norm), layer.training_mode});
    }
    std::string what;
    for (const char* name : {"moving_mean", "moving_variance"}) {
      const auto found = layer.fed_tensors.find(name);
      if (found == layer.fed_tensors.end()) continue;
      what += (what.empty() ? "" : ", ") + std::string(name) + " is " + found->second;
    }
    if (!what.empty()) fed.layers.push_back({i, TensorsOf(batch_norm), what});
  }
  findings.Add(std::move(training));
  findings.Add(std::move(fed));
}

}  // namespace ckpt::audit
