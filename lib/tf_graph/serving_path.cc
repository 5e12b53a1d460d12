#include <algorithm>
#include <set>

#include "ckpt/op_serving.h"
#include "tf_graph/live_ops.h"
#include "tf_graph/train_roots.h"

namespace ckpt {
namespace {

using tf_graph::PhaseValue;

std::string_view OpOfTensor(std::string_view tensor) { return tensor.substr(0, tensor.find(':')); }

// Operations without a reader that yield something: not an assignment, a save, a group.
std::vector<OpRef> Sinks(const OpBodies& bodies) {
  std::vector<OpRef> sinks;
  for (OpId id = 0; id < bodies.body(0).ops.size(); ++id) {
    const OpRef at{0, id};
    const Op& op = bodies.op(at);
    if (!bodies.Consumers(at).empty() || !bodies.ControlConsumers(at).empty()) continue;
    const bool yields = op.type != "NoOp" && op.type != "Assert" && op.type != "Const" &&
                        !op.type.starts_with("Assign") && !op.type.starts_with("Save") &&
                        !op.type.starts_with("Merge") && !IsVariableOp(op.type);
    if (yields || op.type == "Merge") sinks.push_back(at);
  }
  return sinks;
}

}  // namespace

bool IsServingArtefact(const OpBodies& bodies) {
  const OpGraph& graph = bodies.graph();
  if (graph.kind == OpGraphKind::kMetaGraph) return false;
  if (graph.kind == OpGraphKind::kSavedModel) {
    const auto tagged = [&](const char* tag) {
      return std::find(graph.tags.begin(), graph.tags.end(), tag) != graph.tags.end();
    };
    return tagged("serve") || !tagged("train");
  }
  for (std::uint32_t body = 0; body < bodies.size(); ++body) {
    for (const Op& op : bodies.body(body).ops) {
      if (IsVariableOp(op.type)) return false;
    }
  }
  return !tf_graph::FindTrainRoots(bodies).optimizes;
}

ServingPath TraceServing(const OpBodies& bodies, const OpBatchNorms& found) {
  ServingPath path;
  std::set<std::string_view> fed;
  std::vector<OpRef> outputs;
  for (const OpSignature& signature : bodies.graph().signatures) {
    if (signature.name.starts_with("__saved_model")) continue;
    for (const auto& [name, tensor] : signature.inputs) fed.insert(OpOfTensor(tensor));
    for (const auto& [name, tensor] : signature.outputs) {
      const auto id = bodies.body(0).Find(OpOfTensor(tensor));
      if (!id) continue;
      outputs.push_back({0, *id});
      path.outputs.push_back(tensor);
    }
  }
  path.from_signature = !outputs.empty();
  if (outputs.empty()) {
    outputs = Sinks(bodies);
    for (const OpRef output : outputs) path.outputs.push_back(bodies.Describe(output));
  }
  const OpSet all = LiveOps(bodies, outputs, PhaseValue::kUnknown);
  const OpSet inference = LiveOps(bodies, outputs, PhaseValue::kFalse);
  const OpSet training = LiveOps(bodies, outputs, PhaseValue::kTrue);
  for (std::size_t i = 0; i < found.norms.size(); ++i) {
    const OpBatchNorm& norm = found.norms[i];
    const OpRef at{norm.body, norm.output};
    if (!all.Has(at)) continue;
    ++path.norms;
    if (norm.mode == OpBatchNormMode::kInference && inference.Has(at))
      path.inference_norms.push_back(i);
    if (norm.mode == OpBatchNormMode::kTraining) {
      const bool always = inference.Has(at) && training.Has(at);
      if (always) path.training_norms.push_back(i);
      path.switched_norms += !always;
    }
    path.switched_norms += norm.mode == OpBatchNormMode::kSwitched;
  }
  const OpVariables variables(bodies.graph());
  std::set<std::string> read;
  for (std::uint32_t body = 0; body < bodies.size(); ++body) {
    for (OpId id = 0; id < bodies.body(body).ops.size(); ++id) {
      const OpRef at{body, id};
      const Op& op = bodies.op(at);
      if (IsVariableOp(op.type) && inference.Has(at)) read.insert(variables.NameOf(op));
      if (body != 0 || !all.Has(at) || !tf_graph::IsBooleanPlaceholder(op)) continue;
      if (fed.count(op.name) != 0) continue;
      path.phases.push_back(
          {op.name, tf_graph::KnownBoolean(bodies, {at, 0}, PhaseValue::kUnknown)});
    }
  }
  path.variables.assign(read.begin(), read.end());
  return path;
}

}  // namespace ckpt
