#include "audit/graph_facts.h"

#include <map>
#include <utility>

#include "audit/wording.h"

namespace ckpt::audit {
namespace {

std::shared_ptr<const OpAnalysis> OpsOf(const Manifest& manifest, const Analysis& analysis) {
  if (analysis.ops != nullptr) return analysis.ops;
  return std::make_shared<OpAnalysis>(manifest.ops);
}

// Which layer of the analysis each batch norm of the graph is, by the tensors that both have.
std::vector<std::optional<std::size_t>> LayersOf(const Manifest& manifest, const GraphFacts& facts,
                                                 const Analysis& analysis) {
  std::map<TensorId, std::size_t> by_tensor;
  for (std::size_t i = 0; i < analysis.batch_norms.size(); ++i) {
    const BatchNorm& layer = analysis.batch_norms[i];
    for (const auto& id : {layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance}) {
      if (id) by_tensor.emplace(*id, i);
    }
  }
  std::vector<std::optional<std::size_t>> layers;
  for (const OpBatchNorm& norm : facts.found.norms) {
    std::vector<std::optional<TensorId>> tensors;
    for (const OpBatchNormVector* vector : {&norm.gamma, &norm.beta, &norm.mean, &norm.variance}) {
      if (!vector->variable.empty()) {
        tensors.push_back(TensorOfVariable(manifest, facts, vector->variable));
      } else if (vector->kind == OpBatchNormVector::Kind::kConstant && vector->origin) {
        tensors.push_back(facts.bodies.op(*vector->origin).tensor);
      }
    }
    for (const std::string& name : {norm.moving_mean, norm.moving_variance}) {
      if (!name.empty()) tensors.push_back(TensorOfVariable(manifest, facts, name));
    }
    layers.emplace_back();
    for (const std::optional<TensorId>& id : tensors) {
      const auto known = id ? by_tensor.find(*id) : by_tensor.end();
      if (known != by_tensor.end() && !layers.back()) layers.back() = known->second;
    }
  }
  return layers;
}

}  // namespace

GraphFacts::GraphFacts(const Manifest& manifest, const Analysis& analysis)
    : ops(OpsOf(manifest, analysis)),
      bodies(ops->bodies),
      variables(ops->variables),
      found(ops->found),
      reach(TraceUpdates(bodies, found)),
      savers(FindSavers(bodies)),
      restores(FindRestores(bodies)),
      serving(ops->serving),
      serves(ops->serves) {
  layer_of = LayersOf(manifest, *this, analysis);
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

std::unique_ptr<const GraphFacts> FactsOf(const Manifest& manifest, const Analysis& analysis) {
  return manifest.ops ? std::make_unique<const GraphFacts>(manifest, analysis) : nullptr;
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

namespace {

// Object-based savers name what they save by the path of its object:
// "net/bn/gamma/.ATTRIBUTES/...".
bool UsesObjectKeys(const OpSaverContents& saver) {
  return std::any_of(saver.keys.begin(), saver.keys.end(), [](const std::string& key) {
    return key.find("/.ATTRIBUTES/") != std::string::npos;
  });
}

bool Lacks(const GraphFacts& facts, const OpSaverContents& saver, const std::string& name) {
  if (saver.SavesVariable(name) || saver.SavesKey(name)) return false;
  if (!UsesObjectKeys(saver)) return true;
  // What it saves may be computed of several variables (replicas), and only the key tells which.
  const OpVariable* const record = facts.variables.Find(name);
  return record != nullptr && !record->checkpoint_key.empty() &&
         !saver.SavesKey(record->checkpoint_key);
}

}  // namespace

SaverGap GapOfSavers(const GraphFacts& facts) {
  std::set<std::string> needed;
  for (const OpBatchNorm& norm : facts.found.norms) {
    for (const std::string& name :
         {norm.moving_mean, norm.moving_variance, norm.gamma.variable, norm.beta.variable}) {
      if (!name.empty()) needed.insert(name);
    }
  }
  SaverGap gap;
  for (const OpSaverContents& saver : facts.savers) {
    std::vector<std::string> missing;
    for (const std::string& name : needed) {
      if (Lacks(facts, saver, name)) missing.push_back(name);
    }
    if (missing.empty() || !saver.complete) return {};
    if (gap.saver == nullptr || missing.size() < gap.missing.size())
      gap = {&saver, std::move(missing)};
  }
  return gap;
}

std::string ByGraph(const GraphFacts& facts) {
  return "by the graph (" + facts.ops->graph->source + "), ";
}

std::string ToldGap(const GraphFacts& facts, const SaverGap& gap) {
  const bool only = facts.savers.size() == 1;
  const std::string which = only ? "the saver \"" + gap.saver->scope + "\" does not save "
                                 : "none of " + Plural(facts.savers.size(), "saver") + " (" +
                                       gap.saver->scope + " comes closest) saves all of ";
  return ByGraph(facts) + which + Plural(gap.missing.size(), "variable") +
         " that serving reads: " + Listed(gap.missing, kNamed);
}

std::vector<std::size_t> TrainingAtServing(const GraphFacts& facts, std::size_t layer) {
  std::vector<std::size_t> norms;
  if (!facts.serves) return norms;
  for (const std::size_t i : facts.serving.training_norms) {
    if (facts.layer_of[i] == layer) norms.push_back(i);
  }
  return norms;
}

}  // namespace ckpt::audit
