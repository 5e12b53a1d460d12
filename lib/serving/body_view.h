// A serving graph's body as the finding of layers looks at it: who reads what, what is constant,
// and which tensor a constant operand holds.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "ckpt/op_graph.h"

namespace ckpt {

// An input of an operation.
struct OpInput {
  OpId op = 0;
  std::size_t input = 0;
  auto operator<=>(const OpInput&) const = default;
};

// A tensor of the manifest as an operation reads it: behind changes of shape that only add or drop
// axes of one element, or behind nothing.
struct Weight {
  OpId constant = 0;  // the operation that holds it
  TensorId tensor;
  std::vector<std::int64_t> shape;  // as it is read
};

class BodyView {
 public:
  // REQUIRES: `body` is sorted producers first, `tensors` are those of the manifest that its
  // constants name; all outlive the view. `outputs`: the edges that the graph yields. The
  // operations of `computed` count as no constants, whatever they read.
  BodyView(const OpBody& body, const std::vector<TensorInfo>& tensors,
           const std::vector<OpEdge>& outputs, const std::vector<OpId>& computed);

  const std::vector<Op>& ops() const noexcept { return ops_; }
  const Op& op(OpId id) const { return ops_[id]; }
  const std::vector<OpId>& ReadersOf(OpId id) const { return readers_[id]; }
  bool IsOutput(OpId id) const { return output_[id]; }
  // The only operation that reads it, and only once.
  std::optional<OpId> OnlyReader(OpId id) const;

  bool IsConstant(OpId id) const { return constant_[id]; }
  bool IsConstant(const OpEdge& edge) const { return constant_[edge.op]; }
  std::optional<Weight> WeightOf(OpEdge edge) const;
  // The elements of a small constant of integers; empty where it is none.
  std::vector<std::int64_t> Integers(const OpEdge& edge) const;

 private:
  std::optional<std::vector<std::int64_t>> Reshaped(const Op& op,
                                                    std::vector<std::int64_t> shape) const;

  const std::vector<Op>& ops_;
  const std::vector<TensorInfo>& tensors_;
  std::vector<std::vector<OpId>> readers_;
  std::vector<bool> constant_, output_;
};

}  // namespace ckpt
