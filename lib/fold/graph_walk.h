// Finds the layers that a batch norm can move into, over the graph of the model.
//
// Every move is an exact rewrite of the network as it stands, conditions included; what depends on
// the values of the batch norm is handed back as a condition. Decides on structure alone, reads no
// tensor.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "ckpt/checkpoint.h"
#include "fold/graph_crossing.h"

namespace ckpt {

class GraphWalk {
 public:
  // REQUIRES: manifest.graph. `manifest` must outlive the walk.
  explicit GraphWalk(const Manifest& manifest);

  // Batch norm `layer` was folded: it is an identity from now on.
  void MarkFolded(LayerId layer) { folded_[layer] = true; }

  // The layers before batch norm `layer` that together yield its input; the slices of several cover
  // its channels. With `into_batch_norms` a batch norm that stays may be one of them.
  // Both fail with kUnfit and the reason.
  Result<std::vector<GraphTarget>> Backward(LayerId layer, bool into_batch_norms) const;
  // The layers that read its output, all of which have to take it.
  Result<std::vector<GraphTarget>> Forward(LayerId layer) const;

 private:
  struct Reached {
    NodeId call;
    GraphTarget target;
  };
  struct Pending {
    ValueId value;
    Demand demand;
  };

  const Layer& LayerOf(NodeId node) const { return graph_.layers[graph_.nodes[node].layer]; }
  bool IsIdentity(NodeId node) const;
  // The value that `value` is, through identities that a walk has passed already.
  ValueId BehindIdentities(ValueId value) const;
  std::optional<std::size_t> OutChannels(const Layer& layer) const;

  static Status CheckActivation(const Layer& layer);
  Status CheckPassable(NodeId node) const;
  Status CheckOneResult(NodeId node) const;
  Error HasInputs(NodeId node) const;
  static Status CheckParameters(const Layer& layer);
  Status CheckOnlyReader(ValueId value) const;

  Result<std::size_t> WalkBack(ValueId value, Demand demand, bool into_batch_norms, int depth,
                               std::vector<Reached>& reached) const;
  Result<std::size_t> WalkBackBranches(NodeId node, const Demand& demand, bool into_batch_norms,
                                       int depth, std::vector<Reached>& reached) const;
  Result<std::size_t> ReachBack(NodeId node, Demand demand, std::vector<Reached>& reached) const;

  Status WalkForward(NodeId reader, const Pending& from, std::vector<Pending>& pending,
                     std::vector<Reached>& reached) const;
  Status ReachForward(NodeId node, const Pending& from, std::vector<Reached>& reached) const;

  // May a demand cross the call at all?
  Status CheckCrossable(NodeId node, const Demand& demand) const;
  Result<std::vector<GraphTarget>> Combine(std::vector<Reached> reached) const;

  const Manifest& manifest_;
  const ModelGraph& graph_;
  GraphCrossing crossing_;
  std::vector<bool> folded_;                // by layer
  std::vector<std::vector<NodeId>> calls_;  // nodes by layer
  // By value: an earlier one that it equals, else itself. Thousands of batch norms in a row, each
  // folded through those before it, are walked over once.
  mutable std::vector<ValueId> behind_;
};

}  // namespace ckpt
