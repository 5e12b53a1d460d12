#include "serving/finish_graph.h"

#include <map>
#include <utility>

#include "ckpt/serving.h"
#include "fold/reason.h"
#include "serving/op_facts.h"

namespace ckpt {
namespace {

// The operation that yields `output` under its name.
Result<OpId> AddIdentity(WorkingGraph& graph, const GraphOutput& output,
                         const std::vector<bool>& needed) {
  // The operation that had the name is not part of the graph any more, or another output of one
  // that is.
  const auto taken = graph.Find(output.name);
  const bool free = taken && (*taken >= needed.size() || !needed[*taken]);
  if (free) graph.op(*taken).name += "/replaced";
  const Op& yields = graph.op(output.edge.op);
  auto dtype = OutputDtype(yields, output.edge.output);
  if (!dtype) dtype = output.dtype;
  if (!dtype) {
    return Fail(ErrorCode::kUnsupported, "the type of the output " + Quoted(output.name) +
                                             " is not known: " + yields.type +
                                             " does not record it");
  }
  Op identity;
  identity.name = output.name;
  identity.type = "Identity";
  identity.attrs["T"] = *dtype;
  identity.inputs = {output.edge};
  const OpId id = graph.Add(std::move(identity));
  if (free) graph.op(id).name = output.name;
  return id;
}

// Each output is an operation of the name that is asked for; two signatures may ask for one.
Status NameOutputs(WorkingGraph& graph, std::vector<GraphOutput>& outputs) {
  std::vector<OpEdge> edges;
  for (GraphOutput& output : outputs) {
    output.edge = graph.Resolve(output.edge);
    edges.push_back(output.edge);
  }
  std::vector<bool> needed(graph.size(), false);
  for (const OpId id : graph.Ancestors(edges, false)) needed[id] = true;
  std::map<std::string, OpId> made;
  for (GraphOutput& output : outputs) {
    if (output.edge.output == 0 && graph.op(output.edge.op).name == output.name) continue;
    auto known = made.find(output.name);
    if (known == made.end()) {
      CKPT_ASSIGN_OR_RETURN(const OpId id, AddIdentity(graph, output, needed));
      known = made.emplace(output.name, id).first;
    }
    output.edge = {known->second, 0, {}};
  }
  return {};
}

// A control edge that stays.
bool Orders(const WorkingGraph& graph, const Op& op, OpId control) {
  if (op.type == "NoOp") return true;  // the initializer
  const Op& before = graph.op(control);
  // What places a constant into a condition or loop that stays.
  const bool pivot = IsIdentityType(before.type) && !before.inputs.empty() &&
                     IsSwitchType(graph.InputOp(control, 0).type);
  // What a loop compares its counter with is placed by the counter itself.
  const bool counter = op.inputs.empty() && IsMergeType(before.type);
  return pivot || counter;
}

}  // namespace

Result<OpBody> FinishGraph(WorkingGraph& graph, std::vector<GraphOutput>& outputs,
                           std::optional<OpId> initializer) {
  CKPT_RETURN_IF_ERROR(NameOutputs(graph, outputs));
  std::vector<OpEdge> roots;
  for (const GraphOutput& output : outputs) roots.push_back(output.edge);
  if (initializer) {
    for (const OpId first : graph.op(*initializer).control_inputs) roots.push_back({first, 0, {}});
    roots.push_back({*initializer, 0, {}});
  }
  const std::vector<OpId> order = graph.Ancestors(roots, false);
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
    std::vector<OpId> controls;
    for (const OpId control : op.control_inputs) {
      if (kept[control] && Orders(graph, op, control)) controls.push_back(new_id[control]);
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
  for (GraphOutput& output : outputs) output.edge.op = new_id[output.edge.op];
  return body;
}

}  // namespace ckpt
