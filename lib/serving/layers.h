// The layers of a serving graph, and the operations that each is made of.
#pragma once

#include <optional>
#include <vector>

#include "ckpt/model_graph.h"
#include "ckpt/op_graph.h"

namespace ckpt {

// What a layer stands for in the graph of operations.
struct LayerOps {
  OpEdge input;                         // what it reads (its first input)
  OpEdge output;                        // what it yields
  std::optional<OpId> bias_after = {};  // the operation behind which a new bias goes
  std::optional<OpId> kernel = {};      // the constant
  bool channels_first = false;
  bool fused = false;                 // batch norm: one operation, its inputs 1 to 4 as below
  std::vector<OpId> batch_norm = {};  // the operations it is made of, the last one last
};

struct LayerGraph {
  ModelGraph graph;
  std::vector<LayerOps> ops;  // by layer
};

// REQUIRES: `body` is sorted producers first; every constant with a value of its own that a layer
// may hold has its `tensor` set. `outputs`: the edges that the graph yields.
LayerGraph FindLayers(const OpBody& body, const std::vector<OpEdge>& outputs, std::string source);

}  // namespace ckpt
