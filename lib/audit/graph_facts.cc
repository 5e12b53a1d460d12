#include "audit/graph_facts.h"

namespace ckpt::audit {

GraphFacts::GraphFacts(const Manifest& manifest)
    : bodies(*manifest.ops),
      variables(*manifest.ops),
      found(FindBatchNorms(bodies)),
      reach(TraceUpdates(bodies, found)),
      savers(FindSavers(bodies)),
      restores(FindRestores(bodies)),
      serving(TraceServing(bodies, found)),
      serves(IsServingArtefact(bodies)) {
  std::set<std::string> known;
  const auto add = [&](const std::string& name) {
    if (name.empty() || !known.insert(name).second) return;
    left_out.push_back(name);
    if (const auto id = TensorOfVariable(manifest, *this, name)) left_out_tensors.insert(*id);
  };
  for (const UpdatedVariable& variable : reach.variables) {
    if (!variable.runs && !variable.runs_with_fetch) add(variable.variable);
  }
  for (const std::size_t i : reach.without_update) {
    add(found.norms[i].moving_mean);
    add(found.norms[i].moving_variance);
  }
}

std::unique_ptr<const GraphFacts> FactsOf(const Manifest& manifest) {
  return manifest.ops ? std::make_unique<const GraphFacts>(manifest) : nullptr;
}

std::optional<TensorId> TensorOfVariable(const Manifest& manifest, const GraphFacts& facts,
                                         const std::string& variable) {
  if (const OpVariable* record = facts.variables.Find(variable)) {
    for (const std::string& name : {record->checkpoint_key, record->full_name}) {
      if (name.empty()) continue;
      if (const auto id = FindTensor(manifest, name)) return id;
    }
  }
  return FindTensor(manifest, variable);
}

}  // namespace ckpt::audit
