// Moves a demand across the calls of a graph, by the channel rules of what they compute.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "ckpt/checkpoint.h"
#include "ckpt/network/channel_rules.h"
#include "fold/channel_demand.h"

namespace ckpt {

class GraphCrossing {
 public:
  // REQUIRES: manifest.graph. `manifest` must outlive the crossing.
  explicit GraphCrossing(const Manifest& manifest);

  // As recorded, or by the shape rules.
  std::optional<std::int64_t> RankOf(ValueId value) const;
  bool IsUnderstood(NodeId node) const;
  // y = x, its own activation aside.
  bool IsIdentity(NodeId node) const;

  // From what the call yields to input `input` of it; what the other inputs have to be mapped by.
  // Of several addends only the first takes the shift. Fails with kUnfit and the reason.
  Result<network::OtherOperands> Back(NodeId node, std::size_t input, Demand& demand) const;
  // From the call's only input to what it yields.
  Status Forward(NodeId node, Demand& demand) const;

  // Does the demand meet the channels of what a layer with a kernel, or a batch norm, yields?
  Status CheckMade(NodeId node, const Demand& demand) const;
  // May the kernel of the layer take the demand on its input? Adds what that asks for.
  Status Absorb(NodeId node, Demand& demand) const;

 private:
  using Operands = std::vector<network::OperandShape>;
  // A call is one operation after another.
  struct Step {
    network::Computation computation;
    Operands operands;
  };

  const Layer& LayerOf(NodeId node) const { return graph_.layers[graph_.nodes[node].layer]; }
  std::vector<Step> StepsOf(NodeId node) const;
  // The kernel of this name behind the data.
  void AddKernel(const Layer& layer, const char* name, Operands& operands) const;
  // Absent: the rules know nothing of it.
  network::PartialShape MadeBy(const std::vector<Step>& steps) const;
  Error Stopped(NodeId node, const network::Stops& stops, std::int64_t axis, ValueId value) const;

  const Manifest& manifest_;
  const ModelGraph& graph_;
  std::vector<network::PartialShape> shapes_;  // by value
};

}  // namespace ckpt
