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
#include "fold/folded_layer.h"

namespace ckpt {

// A layer that takes the batch norm, or a slice of its channels, with the conditions met on the
// way.
struct GraphTarget {
  LayerId layer = 0;
  std::size_t first_channel = 0;  // of the batch norm
  std::size_t channels = 0;
  bool adds_shift = true;  // false: another addend takes the shift
  ChannelOrder order = ChannelOrder::kSame;
  // Why the shift has to be 0, or the scale not negative: "\"pad\" pads with zeros". Empty: it need
  // not be.
  std::string needs_zero_shift = {};
  std::string needs_scale_not_negative = {};

  bool operator==(const GraphTarget&) const = default;
};

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
  // What is asked of a value: to be scaled and shifted along `axis`.
  struct Demand {
    std::int64_t axis = -1;
    bool any_axis = false;  // every other axis but the batch has one element
    GraphTarget target = {};
  };
  struct Reached {
    NodeId call;
    GraphTarget target;
  };
  struct Pending {
    ValueId value;
    Demand demand;
  };

  const Layer& LayerOf(NodeId node) const { return graph_.layers[graph_.nodes[node].layer]; }
  std::optional<std::int64_t> RankOf(ValueId value) const { return graph_.values[value].rank; }
  bool IsIdentity(NodeId node) const;
  // The value that `value` is, through identities that a walk has passed already.
  ValueId BehindIdentities(ValueId value) const;
  std::optional<std::size_t> OutChannels(const Layer& layer) const;

  Status CheckPassable(NodeId node) const;
  static Status CheckParameters(const Layer& layer);
  Status CheckAxis(const Demand& demand, const Layer& layer, std::optional<std::int64_t> axis,
                   ValueId value) const;
  Status CheckOnlyReader(ValueId value) const;

  Result<std::size_t> WalkBack(ValueId value, Demand demand, bool into_batch_norms, int depth,
                               std::vector<Reached>& reached) const;
  Result<std::size_t> WalkBackAdd(NodeId node, const Demand& demand, bool into_batch_norms,
                                  int depth, std::vector<Reached>& reached) const;
  Result<std::size_t> WalkBackConcat(NodeId node, const Demand& demand, bool into_batch_norms,
                                     int depth, std::vector<Reached>& reached) const;
  Result<std::size_t> ReachBack(NodeId node, Demand demand, std::vector<Reached>& reached) const;

  Status WalkForward(NodeId reader, const Pending& from, std::vector<Pending>& pending,
                     std::vector<Reached>& reached) const;
  Status ReachForward(NodeId node, const Pending& from, std::vector<Reached>& reached) const;
  Status PassFlatten(const Layer& layer, ValueId input, Demand& demand) const;

  // Moves the demand across a node that has one input and keeps channels apart.
  Status Pass(NodeId node, ValueId checked_at, Demand& demand) const;
  Result<std::vector<GraphTarget>> Combine(std::vector<Reached> reached) const;

  const Manifest& manifest_;
  const ModelGraph& graph_;
  std::vector<bool> folded_;                // by layer
  std::vector<std::vector<NodeId>> calls_;  // nodes by layer
  // By value: an earlier one that it equals, else itself. Thousands of batch norms in a row, each
  // folded through those before it, are walked over once.
  mutable std::vector<ValueId> behind_;
};

}  // namespace ckpt
