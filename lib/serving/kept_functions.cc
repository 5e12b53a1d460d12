#include "serving/kept_functions.h"

#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "fold/reason.h"
#include "serving/op_facts.h"

namespace ckpt {
namespace {

constexpr int kMaxDepth = 64;                   // of functions that call functions
constexpr std::size_t kMaxKeptOps = 5'000'000;  // of all functions that are kept
using Values = std::map<std::size_t, OpDtype>;  // input or argument -> the type of the value in it

// How an operation calls: which attributes name functions, and where their arguments begin.
struct CallForm {
  std::vector<std::string_view> callees = {};  // attributes with one function
  std::string_view list = {};                  // an attribute with several
  std::size_t first_input = 0;
  std::string_view types = {};    // the attribute with the types of the arguments
  bool passes_arguments = false;  // result i has the type of argument i
};

// Nothing for operations that call in a way of their own: their functions are kept as they are.
std::optional<CallForm> FormOf(std::string_view type) {
  if (type == "While" || type == "StatelessWhile")
    return CallForm{{"cond", "body"}, {}, 0, "T", true};
  if (type == "If" || type == "StatelessIf")
    return CallForm{{"then_branch", "else_branch"}, {}, 1, "Tin", false};
  if (type == "Case" || type == "StatelessCase") return CallForm{{}, "branches", 1, "Tin", false};
  if (type == "PartitionedCall" || type == "StatefulPartitionedCall")
    return CallForm{{"f"}, {}, 0, "Tin", false};
  return std::nullopt;
}

bool CallsFunctions(const Op& op, const OpGraph& source) {
  if (source.functions.contains(op.type)) return true;
  for (const auto& [name, attr] : op.attrs) {
    if (std::holds_alternative<OpFunctionName>(attr) ||
        std::holds_alternative<std::vector<OpFunctionName>>(attr)) {
      return true;
    }
  }
  return false;
}

bool IsResource(const Op& argument) {
  const auto* type = FindAttr<OpDtype>(argument, "T");
  return type != nullptr && type->number == kTfResource;
}

class Keeper {
 public:
  Keeper(WorkingGraph& graph, const OpGraph& source) : graph_(graph), source_(source) {}

  Result<OpFunctions> Run(std::span<const OpEdge> roots) {
    for (const OpId id : graph_.Ancestors(roots, false)) {
      if (!CallsFunctions(graph_.op(id), source_)) continue;
      Values constants;
      for (std::size_t i = 0; i < graph_.op(id).inputs.size(); ++i) {
        const Op& input = graph_.InputOp(id, i);
        const auto* dtype = FindAttr<OpDtype>(input, "dtype");
        if (input.type == "Const" && WasVariable(input) && dtype != nullptr)
          constants.emplace(i, *dtype);
      }
      CKPT_RETURN_IF_ERROR(KeepCall(graph_.op(id), constants, 0));
    }
    return std::move(kept_);
  }

 private:
  const OpFunction* Find(const std::string& name) const {
    const auto found = source_.functions.find(name);
    return found == source_.functions.end() ? nullptr : &found->second;
  }

  // Keeps what `op` calls. `values`: its inputs that hold the value of a variable, perhaps where a
  // function takes the variable itself.
  Status KeepCall(Op& op, const Values& values, int depth) {
    if (depth > kMaxDepth)
      return Fail(ErrorCode::kUnsupported, "the functions of the graph are nested too deep");
    const auto form = FormOf(op.type);
    if (!form) return KeepAsTheyAre(op, values, depth);
    std::vector<std::string> names = NamesIn(op, *form);
    Values handed_on;
    for (std::string& name : names) {
      const OpFunction* function = Find(name);
      if (function == nullptr) {
        return Fail(ErrorCode::kUnsupported, "the function " + Quoted(name) + " that " +
                                                 Quoted(op.name) + " calls is not in the file");
      }
      Values arguments;
      for (const auto& [input, dtype] : values) {
        const std::size_t argument = input - form->first_input;
        if (input < form->first_input || argument >= function->arguments) continue;
        if (IsResource(function->body.ops[argument])) arguments.emplace(argument, dtype);
      }
      handed_on.insert(arguments.begin(), arguments.end());
      CKPT_ASSIGN_OR_RETURN(name, Keep(*function, arguments, depth + 1));
    }
    SetNames(op, *form, std::move(names));
    if (!handed_on.empty()) SetTypes(op, *form, handed_on);
    return {};
  }

  // Of an operation whose way to call is not known: nothing of it may change.
  Status KeepAsTheyAre(const Op& op, const Values& values, int depth) {
    if (!values.empty()) {
      return Fail(ErrorCode::kUnsupported, "the operation " + Quoted(op.name) + " (" + op.type +
                                               ") hands a variable to a function, and how it "
                                               "does is not known here");
    }
    std::vector<std::string> names;
    if (source_.functions.contains(op.type)) names.push_back(op.type);
    for (const auto& [key, attr] : op.attrs) {
      if (const auto* one = std::get_if<OpFunctionName>(&attr)) names.push_back(one->name);
      if (const auto* many = std::get_if<std::vector<OpFunctionName>>(&attr)) {
        for (const OpFunctionName& name : *many) names.push_back(name.name);
      }
    }
    for (const std::string& name : names) {
      if (const OpFunction* function = Find(name))
        CKPT_RETURN_IF_ERROR(Keep(*function, {}, depth + 1));
    }
    return {};
  }

  static std::vector<std::string> NamesIn(const Op& op, const CallForm& form) {
    std::vector<std::string> names;
    for (const std::string_view attr : form.callees) {
      if (const auto* name = FindAttr<OpFunctionName>(op, attr)) names.push_back(name->name);
    }
    if (const auto* many = FindAttr<std::vector<OpFunctionName>>(op, form.list)) {
      for (const OpFunctionName& name : *many) names.push_back(name.name);
    }
    return names;
  }

  static void SetNames(Op& op, const CallForm& form, std::vector<std::string> names) {
    std::size_t next = 0;
    for (const std::string_view attr : form.callees) {
      if (FindAttr<OpFunctionName>(op, attr) != nullptr)
        op.attrs[std::string(attr)] = OpFunctionName{names[next++]};
    }
    if (form.list.empty() || next == names.size()) return;
    std::vector<OpFunctionName> list;
    for (; next < names.size(); ++next) list.push_back({names[next]});
    op.attrs[std::string(form.list)] = std::move(list);
  }

  static void SetTypes(Op& op, const CallForm& form, const Values& arguments) {
    const auto* types = FindAttr<std::vector<OpDtype>>(op, form.types);
    if (types == nullptr) return;
    std::vector<OpDtype> changed = *types;
    for (const auto& [argument, dtype] : arguments) {
      if (argument < changed.size()) changed[argument] = dtype;
    }
    op.attrs[std::string(form.types)] = std::move(changed);
    op.attrs.erase("output_shapes");  // of a handle: a scalar
  }

  // The name of the function as it is kept.
  Result<std::string> Keep(const OpFunction& function, const Values& arguments, int depth) {
    std::string key = function.name;
    for (const auto& [argument, dtype] : arguments)
      key += '\0' + std::to_string(argument) + ':' + std::to_string(dtype.number);
    if (const auto known = names_.find(key); known != names_.end()) return known->second;
    ops_ += function.body.ops.size();
    if (ops_ > kMaxKeptOps)
      return Fail(ErrorCode::kLimitExceeded, "the functions that the outputs need are too large");
    OpFunction copy = function;
    if (!arguments.empty()) copy.name = FreeName(function.name + "_of_values");
    names_.emplace(key, copy.name);
    kept_[copy.name];  // taken
    for (Op& op : copy.body.ops) op.attrs[std::string(kRecordFunction)] = function.name;
    CKPT_RETURN_IF_ERROR(TakeValues(copy, arguments, depth));
    std::string name = copy.name;
    kept_[name] = std::move(copy);
    return name;
  }

  std::string FreeName(const std::string& wanted) const {
    std::string name = wanted;
    for (std::size_t i = 1; source_.functions.contains(name) || kept_.contains(name); ++i)
      name = wanted + '_' + std::to_string(i);
    return name;
  }

  using Output = std::pair<OpId, std::uint32_t>;

  // Makes the arguments values, and what reads them.
  Status TakeValues(OpFunction& function, const Values& arguments, int depth) {
    std::map<Output, OpDtype> values;  // what was a handle
    for (const auto& [argument, dtype] : arguments) {
      function.body.ops[argument].attrs["T"] = dtype;
      values.emplace(Output{static_cast<OpId>(argument), 0}, dtype);
    }
    for (const OpId id : Order(function.body)) {
      Op& op = function.body.ops[id];
      Values inputs;
      for (std::size_t i = 0; i < op.inputs.size(); ++i) {
        const auto found = values.find({op.inputs[i].op, op.inputs[i].output});
        if (found != values.end()) inputs.emplace(i, found->second);
      }
      if (IsAssignOp(op.type)) {
        return Fail(ErrorCode::kUnfit, "the outputs need the function " + Quoted(function.name) +
                                           ", in which " + Quoted(op.name) + " (" + op.type +
                                           ") writes to a variable: the graph changes its "
                                           "variables at inference");
      }
      if (CallsFunctions(op, source_)) {
        CKPT_RETURN_IF_ERROR(KeepCall(op, inputs, depth));
        const auto form = FormOf(op.type);
        if (!form || !form->passes_arguments) continue;
        for (const auto& [input, dtype] : inputs)
          values.emplace(Output{id, static_cast<std::uint32_t>(input)}, dtype);
      } else if (!inputs.empty()) {
        CKPT_ASSIGN_OR_RETURN(const bool still_handle, TakeValue(op, inputs));
        if (still_handle) values.emplace(Output{id, 0}, inputs.begin()->second);
      }
    }
    return {};
  }

  // Operations in the order of their inputs. A function has no loops of control flow of its own
  // that pass handles on; where it has a cycle, the rest follows in the order of the file.
  static std::vector<OpId> Order(const OpBody& body) {
    std::vector<OpId> order;
    std::vector<std::uint8_t> state(body.ops.size(), 0);  // 1: on the stack, 2: done
    std::vector<std::pair<OpId, std::size_t>> stack;
    for (OpId start = 0; start < body.ops.size(); ++start) {
      if (state[start] != 0) continue;
      state[start] = 1;
      stack.emplace_back(start, 0);
      while (!stack.empty()) {
        auto& [id, next] = stack.back();
        const auto& inputs = body.ops[id].inputs;
        if (next == inputs.size()) {
          state[id] = 2;
          order.push_back(id);
          stack.pop_back();
          continue;
        }
        const OpId producer = inputs[next++].op;
        if (producer >= state.size() || state[producer] != 0) continue;
        state[producer] = 1;
        stack.emplace_back(producer, 0);
      }
    }
    return order;
  }

  // An operation that is given a value where it took a variable. True where its result stood for
  // the variable, too.
  static Result<bool> TakeValue(Op& op, const Values& inputs) {
    const OpDtype dtype = inputs.begin()->second;
    const bool first = inputs.size() == 1 && inputs.begin()->first == 0;
    if (op.type == "ReadVariableOp" && first) {
      op.type = "Identity";
      op.attrs.erase("dtype");
      op.attrs["T"] = dtype;
      return false;
    }
    if (op.type == "Identity" && first) {
      op.attrs["T"] = dtype;
      return true;
    }
    const auto* batch_dims = FindAttr<std::int64_t>(op, "batch_dims");
    if (op.type == "ResourceGather" && first && (batch_dims == nullptr || *batch_dims == 0)) {
      op.type = "Gather";  // of a value, along its first axis
      op.attrs.erase("dtype");
      op.attrs.erase("batch_dims");
      op.attrs["Tparams"] = dtype;
      return false;
    }
    return Fail(ErrorCode::kUnsupported, "the operation " + Quoted(op.name) + " (" + op.type +
                                             ") of a function uses a variable in a way that a "
                                             "serving graph cannot");
  }

  WorkingGraph& graph_;
  const OpGraph& source_;
  OpFunctions kept_;
  std::map<std::string, std::string> names_;  // by function and what its arguments became
  std::size_t ops_ = 0;
};

}  // namespace

Result<OpFunctions> KeepFunctions(WorkingGraph& graph, const OpGraph& source,
                                  std::span<const OpEdge> roots) {
  return Keeper(graph, source).Run(roots);
}

}  // namespace ckpt
