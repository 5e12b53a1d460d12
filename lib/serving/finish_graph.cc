#include "serving/finish_graph.h"

#include <algorithm>
#include <utility>

#include "ckpt/serving.h"
#include "serving/op_facts.h"

namespace ckpt {
namespace {

// Each output is an operation of the name that is asked for.
void NameOutputs(WorkingGraph& graph, std::vector<OpEdge>& outputs,
                 const std::vector<std::string>& names) {
  for (OpEdge& output : outputs) output = graph.Resolve(output);
  std::vector<bool> needed(graph.size(), false);
  for (const OpId id : graph.Ancestors(outputs, false)) needed[id] = true;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const OpEdge edge = outputs[i];
    if (edge.output == 0 && graph.op(edge.op).name == names[i]) continue;
    // The operation that had the name is not part of the graph any more, or another output of one
    // that is.
    const auto taken = graph.Find(names[i]);
    const bool free = taken && (*taken >= needed.size() || !needed[*taken]);
    if (free) graph.op(*taken).name += "/replaced";
    Op identity;
    identity.name = names[i];
    identity.type = "Identity";
    if (const auto dtype = OutputDtype(graph.op(edge.op), edge.output))
      identity.attrs["T"] = *dtype;
    identity.inputs = {edge};
    const OpId id = graph.Add(std::move(identity));
    if (free) graph.op(id).name = names[i];
    outputs[i] = {id, 0, {}};
  }
}

}  // namespace

OpBody FinishGraph(WorkingGraph& graph, std::vector<OpEdge>& outputs,
                   const std::vector<std::string>& names) {
  NameOutputs(graph, outputs, names);
  const std::vector<OpId> order = graph.Ancestors(outputs, false);
  std::vector<OpId> new_id(graph.size());
  std::vector<bool> kept(graph.size(), false);
  for (OpId i = 0; i < order.size(); ++i) {
    new_id[order[i]] = i;
    kept[order[i]] = true;
  }
  OpBody body;
  body.ops.reserve(order.size());
  for (const OpId id : order) {
    Op op = graph.op(id);
    for (std::size_t i = 0; i < op.inputs.size(); ++i) {
      op.inputs[i] = graph.Input(id, i);
      op.inputs[i].op = new_id[op.inputs[i].op];
      op.inputs[i].output_arg.clear();
    }
    // Only what places a constant into a condition or loop that stays.
    std::vector<OpId> controls;
    for (const OpId control : op.control_inputs) {
      const Op& before = graph.op(control);
      const bool pivot = IsIdentityType(before.type) && !before.inputs.empty() &&
                         IsSwitchType(graph.InputOp(control, 0).type);
      // What a loop compares its counter with is placed by the counter itself.
      const bool counter = op.inputs.empty() && IsMergeType(before.type);
      if (kept[control] && (pivot || counter)) controls.push_back(new_id[control]);
    }
    op.control_inputs = std::move(controls);
    // Colocation, inferred shapes, marks of other programs: of the graph as it was.
    std::erase_if(op.attrs, [](const auto& attr) {
      return attr.first.starts_with('_') && !IsServingMark(attr.first) &&
             attr.first != "_lower_using_switch_merge";  // how a loop or a conditional is run
    });
    body.ops.push_back(std::move(op));
  }
  body.Index();
  for (OpEdge& output : outputs) output.op = new_id[output.op];
  return body;
}

}  // namespace ckpt
