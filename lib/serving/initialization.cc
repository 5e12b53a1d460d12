#include "serving/initialization.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

#include "ckpt/op_bodies.h"
#include "serving/branches.h"
#include "serving/op_facts.h"

namespace ckpt {
namespace {

constexpr int kMaxInitializerNesting = 64;

bool FillsTable(std::string_view type) {
  return type.starts_with("InitializeTable") || type.starts_with("LookupTableImport");
}

// The table behind a handle, through identities.
std::optional<OpId> TableOf(const WorkingGraph& graph, OpEdge edge) {
  for (std::size_t steps = 0; steps <= graph.size(); ++steps) {
    edge = graph.Resolve(edge);
    const Op& op = graph.op(edge.op);
    if (IsTableHandleType(op.type)) return edge.op;
    if (!IsIdentityType(op.type) || op.inputs.empty()) return std::nullopt;
    edge = op.inputs[0];
  }
  return std::nullopt;
}

class Finder {
 public:
  Finder(WorkingGraph& graph, const OpGraph& source) : graph_(graph), source_(source) {}

  Result<Initialization> Run(std::span<const OpEdge> roots) {
    Initialization found;
    CKPT_RETURN_IF_ERROR(FindWhatInitializes());
    const std::set<OpId> assets = VariablesOfAssets();
    for (const OpId id : graph_.Ancestors(roots, false)) {
      const auto filled = fills_.find(id);
      if (filled != fills_.end()) {
        found.stays.insert({id, filled->second});
        found.ops.push_back(filled->second);
        TakePaths(filled->second);
      } else if (const auto assigned = assigns_.find(id);
                 assigned != assigns_.end() && assets.contains(id)) {
        found.stays.insert({id, assigned->second});
        found.ops.push_back(assigned->second);
      }
    }
    return found;
  }

 private:
  // All that the initializer runs, its calls written out.
  Result<std::vector<OpId>> WhatRuns() {
    const auto parsed = ParseTensorName(source_.initializer);
    const auto root = parsed ? graph_.Find(parsed->op) : std::nullopt;
    if (source_.initializer.empty() || !root) return std::vector<OpId>();
    for (int depth = 0; depth < kMaxInitializerNesting; ++depth) {
      const std::size_t before = graph_.size();
      std::vector<OpId> ops = Reached(*root);
      std::vector<OpEdge> edges;
      for (const OpId id : ops) edges.push_back({id, 0, {}});
      CKPT_RETURN_IF_ERROR(InlineCalls(graph_, source_, edges));
      if (graph_.size() == before) return ops;
    }
    return Fail(ErrorCode::kUnsupported, "the calls of the initializer are nested too deep");
  }

  std::vector<OpId> Reached(OpId root) const {
    std::vector<OpId> pending = {root}, found;
    std::vector<bool> seen(graph_.size(), false);
    const auto reach = [&](OpId id) {
      if (seen[id]) return;
      seen[id] = true;
      found.push_back(id);
      pending.push_back(id);
    };
    reach(root);
    while (!pending.empty()) {
      const OpId id = pending.back();
      pending.pop_back();
      const Op& op = graph_.op(id);
      for (std::size_t i = 0; i < op.inputs.size(); ++i) reach(graph_.Input(id, i).op);
      for (const OpId control : op.control_inputs) reach(control);
      for (const OpId effect : graph_.Effects(id)) reach(effect);
    }
    return found;
  }

  Status FindWhatInitializes() {
    CKPT_ASSIGN_OR_RETURN(const std::vector<OpId> ops, WhatRuns());
    for (const OpId id : ops) {
      const Op& op = graph_.op(id);
      if (op.inputs.size() < 2) continue;
      if (FillsTable(op.type)) {
        if (const auto table = TableOf(graph_, op.inputs[0])) fills_.emplace(*table, id);
      } else if (IsAssignOp(op.type)) {
        if (const auto variable = VariableOf(graph_, op.inputs[0])) assigns_.emplace(*variable, id);
      }
    }
    return {};
  }

  // Variables that are assigned a tensor to which a loader gives a path.
  std::set<OpId> VariablesOfAssets() const {
    std::set<OpId> tensors, variables;
    for (const OpAsset& asset : source_.assets) {
      const auto parsed = ParseTensorName(asset.tensor);
      const auto id = parsed ? graph_.Find(parsed->op) : std::nullopt;
      if (id) tensors.insert(*id);
    }
    for (const auto& [variable, assign] : assigns_) {
      if (tensors.contains(graph_.Input(assign, 1).op)) variables.insert(variable);
    }
    return variables;
  }

  // What fills a table reads the path itself, not the variable that is assigned beside it: nothing
  // orders the two any more.
  void TakePaths(OpId fills) {
    for (std::size_t i = 1; i < graph_.op(fills).inputs.size(); ++i) {
      const Op& op = graph_.op(graph_.Input(fills, i).op);
      if (op.type != "ReadVariableOp" || op.inputs.empty()) continue;
      const auto variable = VariableOf(graph_, op.inputs[0]);
      const auto assigned = variable ? assigns_.find(*variable) : assigns_.end();
      if (assigned != assigns_.end())
        graph_.op(fills).inputs[i] = graph_.Input(assigned->second, 1);
    }
  }

  WorkingGraph& graph_;
  const OpGraph& source_;
  std::map<OpId, OpId> fills_, assigns_;  // by the table or variable
};

}  // namespace

Result<Initialization> FindInitialization(WorkingGraph& graph, const OpGraph& source,
                                          std::span<const OpEdge> roots) {
  return Finder(graph, source).Run(roots);
}

}  // namespace ckpt
