#include "serving/branches.h"

#include <algorithm>
#include <unordered_map>

#include "fold/reason.h"
#include "serving/op_facts.h"

namespace ckpt {
namespace {

constexpr int kMaxNesting = 64;              // of function calls
constexpr std::int32_t kTfReferences = 100;  // added to the type of what refers to it
constexpr std::size_t kMaxOps = 5'000'000;   // after inlining
constexpr std::size_t kMaxPhases = 16;       // boolean placeholders that decide

const OpFunction* Called(const Op& op, const OpGraph& source) {
  if (op.type == "PartitionedCall" || op.type == "StatefulPartitionedCall") {
    const auto* name = FindAttr<OpFunctionName>(op, "f");
    if (name == nullptr) return nullptr;
    const auto found = source.functions.find(name->name);
    return found == source.functions.end() ? nullptr : &found->second;
  }
  const auto found = source.functions.find(op.type);
  return found == source.functions.end() ? nullptr : &found->second;
}

Status InlineOne(WorkingGraph& graph, OpId id, const OpFunction& function,
                 std::vector<OpEdge> arguments) {
  const std::string name = graph.op(id).name;
  if (arguments.size() != function.arguments) {
    return Fail(ErrorCode::kCorrupt, "the operation " + Quoted(name) + " gives " +
                                         std::to_string(arguments.size()) + " arguments to " +
                                         Quoted(function.name) + ", which takes " +
                                         std::to_string(function.arguments));
  }
  if (graph.size() + function.body.ops.size() > kMaxOps) {
    return Fail(ErrorCode::kLimitExceeded, "the functions of the graph grow beyond " +
                                               std::to_string(kMaxOps) +
                                               " operations when they are written out");
  }
  const std::vector<OpEdge> results = graph.Inline(id, function, arguments);
  for (std::uint32_t i = 0; i < results.size(); ++i) graph.Redirect({id, i, {}}, results[i]);
  return {};
}

// The numbers of scalar tensors and which operations can run, under given values of placeholders.
class Evaluation {
 public:
  Evaluation(WorkingGraph& graph, const OpGraph& source) : graph_(graph), source_(source) {}

  // Redirects what is decided. True where a branch was inlined, which is to be evaluated as well.
  Result<bool> Run(std::span<const OpEdge> roots) {
    const std::vector<OpId> order = graph_.Ancestors(roots, true);
    for (const OpId id : order) CKPT_RETURN_IF_ERROR(Visit(id));
    return inlined_;
  }

 private:
  bool IsDead(const OpEdge& edge) const {
    const auto state = states_.find(edge.op);
    if (state == states_.end()) return false;
    return state->second.dead ||
           (state->second.dead_output && *state->second.dead_output == edge.output);
  }

  std::optional<double> Known(const OpEdge& edge) const {
    const auto state = states_.find(edge.op);
    return state == states_.end() ? std::nullopt : state->second.number;
  }

  Status Visit(OpId id) {
    State state;
    const std::string type = graph_.op(id).type;
    const std::size_t count = graph_.op(id).inputs.size();
    std::size_t dead = 0;
    std::optional<std::size_t> live;
    for (std::size_t i = 0; i < count; ++i) {
      if (IsDead(graph_.Input(id, i))) {
        ++dead;
      } else {
        live = i;
      }
    }
    bool dead_control = false;
    for (const OpId control : graph_.op(id).control_inputs) {
      const auto before = states_.find(control);
      dead_control = dead_control || (before != states_.end() && before->second.dead);
    }
    if (IsMergeType(type)) {
      state.dead = dead_control || (count > 0 && dead == count);
      if (!state.dead && dead > 0 && count - dead == 1) {
        graph_.Redirect({id, 0, {}}, graph_.Input(id, *live));
        const auto index = static_cast<std::int32_t>(*live);
        OpConstant value{Dtype::kI32, {}, std::vector<std::byte>(4), {}};
        for (std::size_t i = 0; i < 4; ++i)
          value.bytes[i] = static_cast<std::byte>(index >> (8 * i) & 0xff);
        const OpId constant =
            graph_.Add(MakeConstant(graph_.op(id).name + "/value_index", kTfInt32, value));
        graph_.Redirect({id, 1, {}}, {constant, 0, {}});
      }
    } else {
      state.dead = dead_control || dead > 0;
    }
    if (!state.dead) {
      state.number = Compute(id, type);
      if (IsSwitchType(type) && count == 2) {
        if (const auto predicate = Known(graph_.Input(id, 1))) {
          const std::uint32_t taken = *predicate != 0 ? 1 : 0;
          state.dead_output = 1 - taken;
          graph_.Redirect({id, taken, {}}, graph_.Input(id, 0));
        }
      } else if ((type == "If" || type == "StatelessIf") && count > 0) {
        CKPT_RETURN_IF_ERROR(VisitIf(id));
      } else if ((type == "Select" || type == "SelectV2") && count == 3) {
        if (const auto predicate = Known(graph_.Input(id, 0)))
          graph_.Redirect({id, 0, {}}, graph_.Input(id, *predicate != 0 ? 1 : 2));
      }
    }
    states_[id] = state;
    return {};
  }

  Status VisitIf(OpId id) {
    const auto predicate = Known(graph_.Input(id, 0));
    if (!predicate) return {};
    const auto* branch =
        FindAttr<OpFunctionName>(graph_.op(id), *predicate != 0 ? "then_branch" : "else_branch");
    const auto function =
        branch == nullptr ? source_.functions.end() : source_.functions.find(branch->name);
    if (function == source_.functions.end()) {
      return Fail(ErrorCode::kCorrupt,
                  "the branch of " + Quoted(graph_.op(id).name) + " is no function of the graph");
    }
    std::vector<OpEdge> arguments;
    for (std::size_t i = 1; i < graph_.op(id).inputs.size(); ++i)
      arguments.push_back(graph_.Input(id, i));
    inlined_ = true;
    CKPT_RETURN_IF_ERROR(InlineOne(graph_, id, function->second, std::move(arguments)));
    // What still waits for it is not to write it out again.
    Op& decided = graph_.op(id);
    decided.type = "NoOp";
    decided.inputs.clear();
    decided.attrs.clear();
    return {};
  }

  std::optional<double> Compute(OpId id, const std::string& type) const {
    if (type == "Const") return ConstantScalar(graph_, {id, 0, {}});
    if (type == "IsVariableInitialized" || type == "VarIsInitializedOp") return 1.0;
    const std::size_t count = graph_.op(id).inputs.size();
    if (count == 0) return std::nullopt;
    const auto a = Known(graph_.Input(id, 0));
    if (IsIdentityType(type) || type == "Squeeze" || type == "Reshape") return a;
    if (type == "Cast" && a && (*a == 0 || *a == 1)) return a;
    if (type == "LogicalNot" && a) return *a == 0 ? 1.0 : 0.0;
    if (count != 2) return std::nullopt;
    const auto b = Known(graph_.Input(id, 1));
    if (type == "LogicalAnd") {
      if ((a && *a == 0) || (b && *b == 0)) return 0.0;
      if (a && b) return 1.0;
    }
    if (type == "LogicalOr") {
      if ((a && *a != 0) || (b && *b != 0)) return 1.0;
      if (a && b) return 0.0;
    }
    if (!a || !b) return std::nullopt;
    if (type == "Equal") return *a == *b ? 1.0 : 0.0;
    if (type == "NotEqual") return *a != *b ? 1.0 : 0.0;
    if (type == "Greater") return *a > *b ? 1.0 : 0.0;
    if (type == "Less") return *a < *b ? 1.0 : 0.0;
    return std::nullopt;
  }

  struct State {
    bool dead = false;
    std::optional<std::uint32_t> dead_output = {};  // of a switch
    std::optional<double> number = {};
  };
  WorkingGraph& graph_;
  const OpGraph& source_;
  std::unordered_map<OpId, State> states_;
  bool inlined_ = false;
};

Status Evaluate(WorkingGraph& graph, const OpGraph& source, std::span<const OpEdge> roots) {
  for (int round = 0; round < kMaxNesting; ++round) {
    CKPT_RETURN_IF_ERROR(InlineCalls(graph, source, roots));
    CKPT_ASSIGN_OR_RETURN(const bool again, Evaluation(graph, source).Run(roots));
    if (!again) return {};
  }
  return Fail(ErrorCode::kUnsupported, "the conditions of the graph are nested too deep");
}

void Assume(WorkingGraph& graph, OpId phase, bool value) {
  OpConstant constant{Dtype::kBool, {}, std::vector<std::byte>(1, std::byte{value}), {}};
  const OpId id =
      graph.Add(MakeConstant(graph.op(phase).name + "/at_serving", kTfBool, std::move(constant)));
  if (graph.op(phase).type != "VarHandleOp") {
    graph.Redirect({phase, 0, {}}, {id, 0, {}});
    return;
  }
  for (OpId read = 0; read < graph.size(); ++read) {  // not the handle: what is read of it
    const Op& op = graph.op(read);
    if (op.type == "ReadVariableOp" && !op.inputs.empty() &&
        VariableOf(graph, op.inputs[0]) == std::optional(phase)) {
      graph.Redirect({read, 0, {}}, {id, 0, {}});
    }
  }
}

// What only training does, on the way to the roots.
std::size_t CountTraining(const WorkingGraph& graph, std::span<const OpEdge> roots) {
  std::size_t count = 0;
  for (const OpId id : graph.Ancestors(roots, false)) {
    const Op& op = graph.op(id);
    if ((IsFusedBatchNormType(op.type) && IsTraining(op)) || IsRandomType(op.type) ||
        op.type == "SquaredDifference") {
      ++count;
    }
  }
  for (const OpId id : graph.Ancestors(roots, true)) {
    if (IsAssignOp(graph.op(id).type)) ++count;
  }
  return count;
}

// A variable of booleans: a phase that the program switches by an assignment.
bool IsBooleanVariable(const Op& op) {
  const auto* dtype = FindAttr<OpDtype>(op, "dtype");
  return IsVariableOp(op.type) && dtype != nullptr && dtype->number % kTfReferences == kTfBool;
}

// May be a single value: a phase is no mask.
bool MayBeScalar(const Op& op) {
  const auto* shape = FindAttr<OpShape>(op, "shape");
  return shape == nullptr || !*shape || (*shape)->empty();
}

// What may be a phase; inputs that the user named are none.
std::vector<OpId> BooleanPhases(const WorkingGraph& graph, std::span<const OpEdge> roots,
                                const std::vector<OpId>& free, const std::vector<OpId>& inputs) {
  std::vector<OpId> found;
  for (const OpId id : graph.Ancestors(roots, false)) {
    const Op& op = graph.op(id);
    const bool placeholder = IsPlaceholderType(op.type) || op.type == "PlaceholderWithDefault";
    if (!IsBooleanVariable(op) && (!placeholder || OutputDtype(op, 0) != OpDtype{kTfBool}))
      continue;
    const bool input = std::find(inputs.begin(), inputs.end(), id) != inputs.end();
    if (input && !MayBeScalar(op)) continue;
    if (std::find(free.begin(), free.end(), id) == free.end()) found.push_back(id);
  }
  return found;
}

// A placeholder of whole numbers that decides a branch which is still open.
std::optional<OpId> OpenPhase(const WorkingGraph& graph, std::span<const OpEdge> roots,
                              const std::vector<OpId>& free) {
  std::vector<OpEdge> predicates;
  for (const OpId id : graph.Ancestors(roots, false)) {
    if (!IsSwitchType(graph.op(id).type) || graph.op(id).inputs.size() != 2) continue;
    const OpEdge predicate = graph.Input(id, 1);
    if (graph.op(predicate.op).type != "LoopCond") predicates.push_back(predicate);
  }
  for (const OpId id : graph.Ancestors(predicates, false)) {
    if (!IsPlaceholderType(graph.op(id).type)) continue;
    const auto dtype = OutputDtype(graph.op(id), 0);
    if (dtype != OpDtype{kTfInt32} && dtype != OpDtype{kTfInt64}) continue;
    if (std::find(free.begin(), free.end(), id) == free.end()) return id;
  }
  return std::nullopt;
}

}  // namespace

Status InlineCalls(WorkingGraph& graph, const OpGraph& source, std::span<const OpEdge> roots) {
  if (source.functions.empty()) return {};
  for (int depth = 0; depth < kMaxNesting; ++depth) {
    bool inlined = false;
    for (const OpId id : graph.Ancestors(roots, false)) {
      const OpFunction* function = Called(graph.op(id), source);
      if (function == nullptr) continue;
      std::vector<OpEdge> arguments;
      for (std::size_t i = 0; i < graph.op(id).inputs.size(); ++i)
        arguments.push_back(graph.Input(id, i));
      CKPT_RETURN_IF_ERROR(InlineOne(graph, id, *function, std::move(arguments)));
      inlined = true;
    }
    if (!inlined) return {};
  }
  return Fail(ErrorCode::kUnsupported,
              "a function of the graph calls itself, or the calls are nested too deep");
}

Status TakeServingBranch(WorkingGraph& graph, const OpGraph& source, std::span<const OpEdge> roots,
                         const std::vector<OpId>& free, const std::vector<OpId>& inputs,
                         std::vector<std::string>& notes) {
  CKPT_RETURN_IF_ERROR(InlineCalls(graph, source, roots));
  const std::vector<OpId> candidates = BooleanPhases(graph, roots, free, inputs);
  if (candidates.size() > kMaxPhases) {
    return Fail(Error{ErrorCode::kUnsupported, "the outputs depend on " +
                                                   std::to_string(candidates.size()) +
                                                   " boolean placeholders and variables"}
                    .With(Remedy::kFeedPlaceholders));
  }
  for (const OpId phase : candidates) {
    std::size_t training[2] = {0, 0};
    for (const bool value : {false, true}) {
      WorkingGraph trial = graph;
      Assume(trial, phase, value);
      CKPT_RETURN_IF_ERROR(Evaluate(trial, source, roots));
      training[value ? 1 : 0] = CountTraining(trial, roots);
    }
    const std::string name = graph.op(phase).name, type = graph.op(phase).type;
    if (training[0] == training[1]) {
      // An input like any other, or its stored value or default serves.
      const bool is_input = std::find(inputs.begin(), inputs.end(), phase) != inputs.end();
      if (is_input || !IsPlaceholderType(type)) continue;
      return Fail(Error{ErrorCode::kUnfit, "nothing shows which value of the boolean placeholder " +
                                               Quoted(name) + " serves"}
                      .With(Remedy::kFeedBoolean, name));
    }
    const bool serves = training[1] < training[0];
    Assume(graph, phase, serves);
    notes.push_back((IsVariableOp(type) ? "the variable " : "the placeholder ") + Quoted(name) +
                    " is " + (serves ? "true" : "false") + " at serving: the other value trains");
  }
  CKPT_RETURN_IF_ERROR(Evaluate(graph, source, roots));
  std::vector<OpId> decided(free);
  decided.insert(decided.end(), inputs.begin(), inputs.end());
  const auto open = OpenPhase(graph, roots, decided);
  if (!open || CountTraining(graph, roots) == 0) return {};
  const std::string name = graph.op(*open).name;
  return Fail(Error{ErrorCode::kUnfit, "the placeholder " + Quoted(name) +
                                           " decides between branches, and one of them trains"}
                  .With(Remedy::kFeedValue, name));
}

}  // namespace ckpt
