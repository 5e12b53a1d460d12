// A graph of operations while it is rewritten: operations are added and edges redirected, and what
// the outputs do not need is left behind.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "ckpt/op_graph.h"
#include "ckpt/result.h"

namespace ckpt {

class WorkingGraph {
 public:
  explicit WorkingGraph(const OpBody& body);

  std::size_t size() const noexcept { return ops_.size(); }
  const Op& op(OpId id) const { return ops_[id]; }
  Op& op(OpId id) { return ops_[id]; }

  // The edge that `edge` stands for after all redirections.
  OpEdge Resolve(OpEdge edge) const;
  // Input `i` of the operation, resolved.
  OpEdge Input(OpId id, std::size_t i) const { return Resolve(ops_[id].inputs[i]); }
  const Op& InputOp(OpId id, std::size_t i) const { return ops_[Input(id, i).op]; }
  // From now on readers of `from` read `to`. A redirection to itself is ignored.
  void Redirect(const OpEdge& from, OpEdge to);

  // Adds an operation; its name is made unique.
  OpId Add(Op op);
  // One step of Resolve; nothing at its end.
  std::optional<OpEdge> Next(const OpEdge& edge) const;
  // Adds a copy of the body of the function that `call` calls, with the name of the call before
  // each name; returns what its results stand for.
  std::vector<OpEdge> Inline(OpId call, const OpFunction& function,
                             std::span<const OpEdge> arguments);
  // What runs because an inlined call runs, whether its results are read or not.
  std::span<const OpId> Effects(OpId call) const;
  std::optional<OpId> Find(std::string_view name) const;

  // All operations that the edges need, producers first (edges that close a loop aside).
  std::vector<OpId> Ancestors(std::span<const OpEdge> roots, bool through_control) const;

 private:
  std::vector<Op> ops_;
  std::unordered_map<std::uint64_t, OpEdge> redirected_;
  std::unordered_map<std::string, OpId> by_name_;
  std::unordered_map<OpId, std::vector<OpId>> effects_;  // by the call
};

// "conv/BiasAdd:1" -> {"conv/BiasAdd", 1}; without a colon output 0.
struct TensorName {
  std::string op;
  std::uint32_t output = 0;
};
Result<TensorName> ParseTensorName(std::string_view name);
std::string ToTensorName(const Op& op, std::uint32_t output);

}  // namespace ckpt
