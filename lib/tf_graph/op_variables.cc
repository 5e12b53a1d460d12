#include <algorithm>
#include <array>

#include "ckpt/op_bodies.h"

namespace ckpt {

bool IsVariableOp(std::string_view type) noexcept {
  constexpr auto kTypes = std::to_array<std::string_view>(
      {"AutoReloadVariable", "TemporaryVariable", "VarHandleOp", "Variable", "VariableV2"});
  return std::find(kTypes.begin(), kTypes.end(), type) != kTypes.end();
}

bool IsAssignOp(std::string_view type) noexcept {
  constexpr auto kTypes =
      std::to_array<std::string_view>({"Assign", "AssignAdd", "AssignAddVariableOp", "AssignSub",
                                       "AssignSubVariableOp", "AssignVariableOp"});
  return std::find(kTypes.begin(), kTypes.end(), type) != kTypes.end();
}

OpVariables::OpVariables(const OpGraph& graph) {
  for (const OpVariable& variable : graph.variables) {
    by_name_.emplace(variable.name, &variable);
    if (!variable.op.empty()) by_op_.emplace(variable.op, &variable);
  }
}

const OpVariable* OpVariables::RecordOf(const Op& op) const {
  if (const auto found = by_op_.find(op.name); found != by_op_.end()) return found->second;
  if (const auto* shared = FindAttr<std::string>(op, "shared_name"); shared && !shared->empty()) {
    if (const OpVariable* variable = Find(*shared)) return variable;
  }
  return Find(op.name);
}

const OpVariable* OpVariables::Find(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : found->second;
}

std::string OpVariables::NameOf(const Op& op) const {
  if (const OpVariable* record = RecordOf(op)) return record->name;
  if (op.type == "VarHandleOp") {
    const auto* shared = FindAttr<std::string>(op, "shared_name");
    if (shared != nullptr && !shared->empty()) return *shared;
  }
  return op.name;
}

}  // namespace ckpt
