// Walks an operation graph across the borders of its bodies: what an operation reads, who reads
// it, what it calls, and where a value comes from.
//
// Source of the operations' meaning: tensorflow/core/ops/{array,control_flow,functional,
// resource_variable,state}_ops.cc.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ckpt/op_graph.h"

namespace ckpt {

// An operation anywhere in the graph. Body 0 is the top graph; the functions follow by name.
struct OpRef {
  std::uint32_t body = 0;
  OpId op = 0;
  auto operator<=>(const OpRef&) const = default;
};

// One output of an operation.
struct OpValue {
  OpRef at;
  std::uint32_t output = 0;
  auto operator<=>(const OpValue&) const = default;
};

// Where a value may come from, once everything that only passes it on is looked through.
struct OpOrigins {
  std::vector<OpValue> values;  // distinct, in the order found; several behind a Merge or an If
  bool complete = true;         // false: the chain was longer than is followed
};

// Keeps a reference to the graph, which must outlive it. Linear in the graph's size to build.
class OpBodies {
 public:
  struct Call {
    OpRef op;
    std::uint32_t first_input;  // the input that becomes argument 0
  };
  struct Callee {
    std::uint32_t body;
    std::uint32_t first_input;
  };

  explicit OpBodies(const OpGraph& graph);

  const OpGraph& graph() const { return graph_; }
  std::uint32_t size() const { return static_cast<std::uint32_t>(bodies_.size()); }
  const OpBody& body(std::uint32_t body) const { return *bodies_[body].body; }
  // Null for the top graph.
  const OpFunction* function(std::uint32_t body) const { return bodies_[body].function; }
  std::string_view body_name(std::uint32_t body) const;  // empty for the top graph
  std::optional<std::uint32_t> FindFunction(std::string_view name) const;

  const Op& op(OpRef at) const { return bodies_[at.body].body->ops[at.op]; }
  // "scope/add_1", or "function/scope/add_1" in a function.
  std::string Describe(OpRef at) const;

  // Operations of the same body that read any output of `at`; one that reads twice is there twice.
  std::span<const OpId> Consumers(OpRef at) const;
  std::span<const OpId> ControlConsumers(OpRef at) const;
  // The functions that the operation runs: the branches of an If, a While's condition and body,
  // the function of a PartitionedCall or of an operation named after it.
  std::vector<Callee> CalleesOf(OpRef at) const;
  std::span<const Call> CallsOf(std::uint32_t body) const { return bodies_[body].calls; }

  // The value of input `index`; nullopt where there is no such input.
  std::optional<OpValue> Input(OpRef at, std::size_t index) const;
  OpValue ValueOf(std::uint32_t body, const OpEdge& edge) const;

  // Looks through Identity, ReadVariableOp, Switch, Merge, Enter, Exit, casts, reshapes, function
  // arguments (to every call), and the results of calls and conditionals. An argument of a
  // function that nothing calls is an origin itself.
  OpOrigins Origins(OpValue value) const;
  OpOrigins OriginsOfInput(OpRef at, std::size_t index) const;

 private:
  struct Body {
    const OpBody* body = nullptr;
    const OpFunction* function = nullptr;
    // Consumers of operation i: readers[reader_start[i] .. reader_start[i + 1]).
    std::vector<std::uint32_t> reader_start = {}, control_start = {};
    std::vector<OpId> readers = {}, control_readers = {};
    std::vector<Call> calls = {};
  };
  void IndexReaders(Body& body);
  // The values that `value` passes on; false if it is an origin.
  bool PassedOn(const OpValue& value, std::vector<OpValue>& sources) const;

  const OpGraph& graph_;
  std::vector<Body> bodies_;
  std::map<std::string_view, std::uint32_t> function_index_;
};

// VariableV2, VarHandleOp and their like.
bool IsVariableOp(std::string_view type) noexcept;
// Assign, AssignSub, AssignVariableOp and their like: writes a variable.
bool IsAssignOp(std::string_view type) noexcept;

// Variables by the operation that holds them.
class OpVariables {
 public:
  explicit OpVariables(const OpGraph& graph);
  // The name under which a saver knows the variable that `op` (IsVariableOp) holds.
  std::string NameOf(const Op& op) const;
  // The record of it; null where no collection and no object names it.
  const OpVariable* RecordOf(const Op& op) const;
  const OpVariable* Find(std::string_view name) const;

 private:
  std::map<std::string_view, const OpVariable*> by_op_, by_name_;
};

// All elements of a constant's value as double; nullopt where it is not inline or not real.
std::optional<std::vector<double>> ConstantValues(const Op& op);
// The value of a constant of one element.
std::optional<double> ScalarConstant(const Op& op);

}  // namespace ckpt
