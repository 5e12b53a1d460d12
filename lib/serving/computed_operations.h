// What the operations of a serving graph compute, as its network says.
#pragma once

#include <optional>
#include <vector>

#include "ckpt/model_graph.h"
#include "ckpt/op_graph.h"
#include "layers/operation_kinds.h"
#include "layers/value_uses.h"
#include "tensorflow_network/translate_graph.h"

namespace ckpt {

class ComputedOperations {
 public:
  // `placed` must outlive this.
  explicit ComputedOperations(const PlacedNetwork& placed);

  // Of what an operation yields, as far as it is known.
  const network::PartialShape& ShapeOf(const OpEdge& edge) const;
  std::optional<std::int64_t> RankOf(const OpEdge& edge) const;

  // Of its data no element is read.
  bool ReadsSizesAlone(OpId id) const;

  // As one of its first operand and the layer's tensors; Unknown where it is more or is not
  // understood.
  network::Computation ComputationOf(OpId id) const;
  // Sets what the layer of this operation computes, its axis and activation.
  void Describe(OpId id, Layer& layer) const;

 private:
  // The one that reads data. Null: there is none, or there are several.
  const network::Operation* OnlyOperationOf(OpId id) const;
  network::Computation Settled(const network::Operation& operation) const;

  const PlacedNetwork& placed_;
  const ValueUses uses_;
  const ElementsLookup elements_;
  std::vector<std::vector<network::OperationId>> operations_;  // by layer of the network
};

}  // namespace ckpt
