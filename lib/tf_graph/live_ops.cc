#include "tf_graph/live_ops.h"

#include <algorithm>
#include <array>
#include <set>

namespace ckpt::tf_graph {
namespace {

constexpr std::int32_t kBool = 10;         // DT_BOOL
constexpr std::int32_t kReferences = 100;  // added to a type of what refers to it
constexpr int kMaxNegations = 8;

std::optional<bool> BooleanConstant(const Op& op) {
  if (!op.constant || op.constant->dtype != Dtype::kBool || op.constant->bytes.size() != 1) {
    return std::nullopt;
  }
  return op.constant->bytes[0] != std::byte{0};
}

// A phase that the program switches by an assignment.
bool IsBooleanVariable(const Op& op) {
  const auto* dtype = FindAttr<OpDtype>(op, "dtype");
  return IsVariableOp(op.type) && dtype != nullptr && dtype->number % kReferences == kBool;
}

std::optional<bool> Known(const OpBodies& bodies, OpValue value, PhaseValue phase, int depth) {
  const OpOrigins origins = bodies.Origins(value);
  if (origins.values.size() != 1 || !origins.complete || depth == 0) return std::nullopt;
  const OpRef at = origins.values.front().at;
  const Op& op = bodies.op(at);
  if (op.type == "Const") return BooleanConstant(op);
  if (op.type == "PlaceholderWithDefault" || op.type == "LogicalNot") {
    const auto input = bodies.Input(at, 0);
    const auto known = input ? Known(bodies, *input, phase, depth - 1) : std::nullopt;
    return known && op.type == "LogicalNot" ? std::optional(!*known) : known;
  }
  const bool decides = IsBooleanPlaceholder(op) || IsBooleanVariable(op);
  if (phase != PhaseValue::kUnknown && decides) return phase == PhaseValue::kTrue;
  return std::nullopt;
}

bool IsSelect(const Op& op) {
  return (op.type == "Select" || op.type == "SelectV2") && op.inputs.size() == 3;
}
bool IsMerge(const Op& op) { return op.type == "Merge" || op.type == "RefMerge"; }
bool IsSwitch(const Op& op) { return op.type == "Switch" || op.type == "RefSwitch"; }
bool IsIf(const Op& op) { return op.type == "If" || op.type == "StatelessIf"; }

// Dead values of one body: those behind a Switch whose predicate is known. A dead input makes an
// operation dead, but a Merge only if all its inputs are.
class DeadOps {
 public:
  DeadOps(const OpBodies& bodies, std::uint32_t body, PhaseValue phase)
      : bodies_(bodies),
        body_(body),
        dead_(bodies.body(body).ops.size(), false),
        dead_inputs_(bodies.body(body).ops.size(), 0) {
    const std::vector<Op>& ops = bodies.body(body).ops;
    for (OpId id = 0; id < ops.size(); ++id) {
      if (!IsSwitch(ops[id])) continue;
      const auto predicate = bodies.Input({body, id}, 1);
      const auto known =
          predicate ? KnownBoolean(bodies, *predicate, phase) : std::optional<bool>();
      if (!known) continue;
      const std::uint32_t output = *known ? 0 : 1;
      dead_output_.emplace(id, output);
      for (const OpId reader : Distinct(bodies.Consumers({body, id}))) {
        for (const OpEdge& edge : ops[reader].inputs) {
          if (edge.op == id && bodies.ValueOf(body, edge).output == output) DeadInput(reader);
        }
      }
    }
    Spread();
  }

  bool Dead(OpId id) const { return dead_[id]; }
  bool Dead(const OpValue& value) const {
    if (dead_[value.at.op]) return true;
    const auto found = dead_output_.find(value.at.op);
    return found != dead_output_.end() && found->second == value.output;
  }

 private:
  static std::vector<OpId> Distinct(std::span<const OpId> ids) {
    std::vector<OpId> distinct(ids.begin(), ids.end());
    std::sort(distinct.begin(), distinct.end());
    distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
    return distinct;
  }

  void DeadInput(OpId id) {
    const Op& op = bodies_.body(body_).ops[id];
    ++dead_inputs_[id];
    if (dead_[id] || (IsMerge(op) && dead_inputs_[id] < op.inputs.size())) return;
    dead_[id] = true;
    pending_.push_back(id);
  }

  void Spread() {
    while (!pending_.empty()) {
      const OpRef at{body_, pending_.back()};
      pending_.pop_back();
      for (const OpId reader : bodies_.Consumers(at)) DeadInput(reader);
      for (const OpId reader : bodies_.ControlConsumers(at)) {
        if (dead_[reader] || IsMerge(bodies_.body(body_).ops[reader])) continue;
        dead_[reader] = true;
        pending_.push_back(reader);
      }
    }
  }

  const OpBodies& bodies_;
  const std::uint32_t body_;
  std::vector<bool> dead_;
  std::vector<std::size_t> dead_inputs_;
  std::map<OpId, std::uint32_t> dead_output_ = {};
  std::vector<OpId> pending_ = {};
};

// Of a Select, where its condition is known.
std::optional<std::size_t> ChosenInput(const OpBodies& bodies, OpRef select, PhaseValue phase) {
  const auto condition = bodies.Input(select, 0);
  const auto known = condition ? KnownBoolean(bodies, *condition, phase) : std::optional<bool>();
  return known ? std::optional<std::size_t>(*known ? 1 : 2) : std::nullopt;
}

}  // namespace

bool IsBooleanPlaceholder(const Op& op) {
  constexpr auto kTypes =
      std::to_array<std::string_view>({"Placeholder", "PlaceholderV2", "PlaceholderWithDefault"});
  if (std::find(kTypes.begin(), kTypes.end(), op.type) == kTypes.end()) return false;
  const auto* dtype = FindAttr<OpDtype>(op, "dtype");
  return dtype != nullptr && dtype->number == kBool;
}

std::optional<bool> KnownBoolean(const OpBodies& bodies, OpValue value, PhaseValue phase) {
  return Known(bodies, value, phase, kMaxNegations);
}

OpSet LiveOps(const OpBodies& bodies, const std::vector<OpRef>& outputs, PhaseValue phase) {
  OpSet live(bodies);
  std::map<std::uint32_t, DeadOps> dead;
  std::vector<OpRef> pending;
  const auto dead_in = [&](std::uint32_t body) -> const DeadOps& {
    const auto found = dead.find(body);
    if (found != dead.end()) return found->second;
    return dead.emplace(body, DeadOps(bodies, body, phase)).first->second;
  };
  const auto add = [&](const OpValue& value) {
    if (value.at.op >= bodies.body(value.at.body).ops.size()) return;
    if (dead_in(value.at.body).Dead(value)) return;
    if (live.Add(value.at)) pending.push_back(value.at);
  };
  for (const OpRef output : outputs) add({output, 0});
  while (!pending.empty()) {
    const OpRef at = pending.back();
    pending.pop_back();
    const Op& op = bodies.op(at);
    const auto chosen = IsSelect(op) ? ChosenInput(bodies, at, phase) : std::nullopt;
    for (std::size_t i = 0; i < op.inputs.size(); ++i) {
      // Both are computed, and one of them is thrown away.
      if (chosen && i != 0 && i != *chosen) continue;
      add(bodies.ValueOf(at.body, op.inputs[i]));
    }
    for (const OpId input : op.control_inputs) {
      if (input < bodies.body(at.body).ops.size() && !dead_in(at.body).Dead(input)) {
        if (live.Add({at.body, input})) pending.push_back({at.body, input});
      }
    }
    const std::vector<OpBodies::Callee> callees = bodies.CalleesOf(at);
    std::optional<bool> taken;
    if (IsIf(op) && callees.size() == 2) {
      const auto predicate = bodies.Input(at, 0);
      if (predicate) taken = KnownBoolean(bodies, *predicate, phase);
    }
    for (std::size_t i = 0; i < callees.size(); ++i) {
      if (taken && (i == 0) != *taken) continue;  // the first is then_branch
      const OpFunction& function = *bodies.function(callees[i].body);
      for (const OpEdge& result : function.results) add(bodies.ValueOf(callees[i].body, result));
      for (const OpId control : function.control_results) add({{callees[i].body, control}, 0});
    }
  }
  return live;
}

}  // namespace ckpt::tf_graph
