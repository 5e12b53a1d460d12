#include "ckpt/op_bodies.h"

#include <algorithm>
#include <array>

namespace ckpt {
namespace {

// Operations behind a vector before its variable is reached; real graphs have less than twenty.
constexpr std::size_t kMaxOrigins = 256;

// Operations that yield their first input, but for its type, shape, or place in control flow.
constexpr auto kPassing = std::to_array<std::string_view>(
    {"CheckNumerics", "Cast", "Enter", "Exit", "ExpandDims", "Identity", "NextIteration",
     "PreventGradient", "ReadVariableOp", "RefEnter", "RefExit", "RefIdentity", "RefSwitch",
     "Reshape", "Snapshot", "Squeeze", "StopGradient", "Switch"});

bool PassesFirstInput(std::string_view type) {
  return std::find(kPassing.begin(), kPassing.end(), type) != kPassing.end();
}

bool IsMerge(std::string_view type) { return type == "Merge" || type == "RefMerge"; }
bool IsSelect(std::string_view type) { return type == "Select" || type == "SelectV2"; }
bool IsIf(std::string_view type) { return type == "If" || type == "StatelessIf"; }
bool IsWhile(std::string_view type) { return type == "While" || type == "StatelessWhile"; }
bool IsCase(std::string_view type) { return type == "Case" || type == "StatelessCase"; }

}  // namespace

OpBodies::OpBodies(const OpGraph& graph) : graph_(graph) {
  bodies_.reserve(graph.functions.size() + 1);
  bodies_.push_back({&graph.top});
  for (const auto& [name, function] : graph.functions) {
    function_index_.emplace(name, static_cast<std::uint32_t>(bodies_.size()));
    bodies_.push_back({&function.body, &function});
  }
  for (Body& body : bodies_) IndexReaders(body);
  for (std::uint32_t b = 0; b < bodies_.size(); ++b) {
    for (OpId id = 0; id < bodies_[b].body->ops.size(); ++id) {
      const OpRef at{b, id};
      for (const Callee& callee : CalleesOf(at)) {
        bodies_[callee.body].calls.push_back({at, callee.first_input});
      }
    }
  }
}

void OpBodies::IndexReaders(Body& body) {
  const std::vector<Op>& ops = body.body->ops;
  body.reader_start.assign(ops.size() + 1, 0);
  body.control_start.assign(ops.size() + 1, 0);
  const auto for_each = [&](const auto& data, const auto& control) {
    for (OpId id = 0; id < ops.size(); ++id) {
      for (const OpEdge& edge : ops[id].inputs) {
        if (edge.op < ops.size()) data(edge.op, id);
      }
      for (const OpId input : ops[id].control_inputs) {
        if (input < ops.size()) control(input, id);
      }
    }
  };
  for_each([&](OpId from, OpId) { ++body.reader_start[from + 1]; },
           [&](OpId from, OpId) { ++body.control_start[from + 1]; });
  for (std::size_t i = 0; i < ops.size(); ++i) {
    body.reader_start[i + 1] += body.reader_start[i];
    body.control_start[i + 1] += body.control_start[i];
  }
  body.readers.resize(body.reader_start.back());
  body.control_readers.resize(body.control_start.back());
  std::vector<std::uint32_t> next(body.reader_start), next_control(body.control_start);
  for_each([&](OpId from, OpId to) { body.readers[next[from]++] = to; },
           [&](OpId from, OpId to) { body.control_readers[next_control[from]++] = to; });
}

std::string_view OpBodies::body_name(std::uint32_t body) const {
  const OpFunction* function = bodies_[body].function;
  return function == nullptr ? std::string_view() : std::string_view(function->name);
}

std::optional<std::uint32_t> OpBodies::FindFunction(std::string_view name) const {
  const auto found = function_index_.find(name);
  return found == function_index_.end() ? std::nullopt : std::optional(found->second);
}

std::string OpBodies::Describe(OpRef at) const {
  std::string text(body_name(at.body));
  if (!text.empty()) text += '/';
  return text + op(at).name;
}

std::span<const OpId> OpBodies::Consumers(OpRef at) const {
  const Body& body = bodies_[at.body];
  return std::span(body.readers)
      .subspan(body.reader_start[at.op], body.reader_start[at.op + 1] - body.reader_start[at.op]);
}

std::span<const OpId> OpBodies::ControlConsumers(OpRef at) const {
  const Body& body = bodies_[at.body];
  return std::span(body.control_readers)
      .subspan(body.control_start[at.op],
               body.control_start[at.op + 1] - body.control_start[at.op]);
}

std::vector<OpBodies::Callee> OpBodies::CalleesOf(OpRef at) const {
  const Op& called = op(at);
  std::vector<Callee> callees;
  const auto add = [&](std::string_view name, std::uint32_t first_input) {
    if (const auto body = FindFunction(name)) callees.push_back({*body, first_input});
  };
  const auto add_attr = [&](std::string_view attr, std::uint32_t first_input) {
    if (const auto* function = FindAttr<OpFunctionName>(called, attr)) {
      add(function->name, first_input);
    }
  };
  if (IsIf(called.type)) {
    add_attr("then_branch", 1);
    add_attr("else_branch", 1);
  } else if (IsWhile(called.type)) {
    add_attr("cond", 0);
    add_attr("body", 0);
  } else if (IsCase(called.type)) {
    if (const auto* branches = FindAttr<std::vector<OpFunctionName>>(called, "branches")) {
      for (const OpFunctionName& branch : *branches) add(branch.name, 1);
    }
  } else if (called.type == "PartitionedCall" || called.type == "StatefulPartitionedCall") {
    add_attr("f", 0);
  } else if (!called.type.empty()) {
    add(called.type, 0);
  }
  return callees;
}

OpValue OpBodies::ValueOf(std::uint32_t body, const OpEdge& edge) const {
  std::uint32_t output = edge.output;
  // Output arguments of the operations that this library looks at, where the file gives a name.
  if (!edge.output_arg.empty() && output == 0) {
    const std::string_view arg = edge.output_arg;
    if (arg == "batch_mean" || arg == "output_true") output = 1;
    if (arg == "batch_variance") output = 2;
  }
  return {{body, edge.op}, output};
}

std::optional<OpValue> OpBodies::Input(OpRef at, std::size_t index) const {
  const Op& reader = op(at);
  if (index >= reader.inputs.size()) return std::nullopt;
  if (reader.inputs[index].op >= body(at.body).ops.size()) return std::nullopt;
  return ValueOf(at.body, reader.inputs[index]);
}

bool OpBodies::PassedOn(const OpValue& value, std::vector<OpValue>& sources) const {
  const Op& from = op(value.at);
  const auto add_input = [&](OpRef at, std::size_t index) {
    const auto input = Input(at, index);
    if (input) sources.push_back(*input);
    return input.has_value();
  };
  if (from.type == "_Arg") {
    // The arguments are the first operations of the body, in order.
    for (const Call& call : bodies_[value.at.body].calls) {
      add_input(call.op, std::size_t{call.first_input} + value.at.op);
    }
    return !sources.empty();
  }
  if (PassesFirstInput(from.type)) return add_input(value.at, 0);
  if (from.type == "IdentityN") return add_input(value.at, value.output);
  if (IsMerge(from.type)) {
    if (value.output != 0) return false;
    for (std::size_t i = 0; i < from.inputs.size(); ++i) add_input(value.at, i);
    return !sources.empty();
  }
  // One of the two, by a condition: tf.where(training, of_the_batch, moving).
  if (IsSelect(from.type)) {
    for (std::size_t i = 1; i < from.inputs.size(); ++i) add_input(value.at, i);
    return !sources.empty();
  }
  if (IsWhile(from.type)) return add_input(value.at, value.output);
  for (const Callee& callee : CalleesOf(value.at)) {
    const std::vector<OpEdge>& results = bodies_[callee.body].function->results;
    if (value.output >= results.size()) continue;
    const OpEdge& result = results[value.output];
    if (result.op < bodies_[callee.body].body->ops.size()) {
      sources.push_back(ValueOf(callee.body, result));
    }
  }
  return !sources.empty();
}

OpOrigins OpBodies::Origins(OpValue value) const {
  OpOrigins origins;
  std::vector<OpValue> seen = {value}, sources;
  for (std::size_t next = 0; next < seen.size(); ++next) {
    sources.clear();
    const OpValue current = seen[next];
    if (!PassedOn(current, sources)) {
      origins.values.push_back(current);
      continue;
    }
    for (const OpValue& source : sources) {
      if (std::find(seen.begin(), seen.end(), source) != seen.end()) continue;
      if (seen.size() == kMaxOrigins) {
        origins.complete = false;
        return origins;
      }
      seen.push_back(source);
    }
  }
  return origins;
}

OpOrigins OpBodies::OriginsOfInput(OpRef at, std::size_t index) const {
  const auto input = Input(at, index);
  return input ? Origins(*input) : OpOrigins{};
}

}  // namespace ckpt
