// The layers of a serving graph, and the operations that each is made of.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "ckpt/model_graph.h"
#include "ckpt/op_graph.h"
#include "serving/body_view.h"
#include "tensorflow_network/translate_graph.h"

namespace ckpt {

// What a layer stands for in the graph of operations.
struct LayerOps {
  OpEdge input;                         // what it reads (its first input)
  OpEdge output;                        // what it yields
  std::optional<OpId> bias_after = {};  // the operation behind which a new bias goes
  bool channels_first = false;
  // Where its tensors are read, by their names in the layer; a chain of changes of shape may lie
  // between the constant and this input.
  std::map<std::string, OpInput, std::less<>> places = {};
  // The type of a batch norm's vectors where it may be another than that of its input.
  std::optional<OpDtype> vector_dtype = {};
};

struct LayerGraph {
  ModelGraph graph;
  std::vector<LayerOps> ops;  // by layer
};

// REQUIRES: `graph.top` is sorted producers first and calls no functions; every constant with a
// value of its own that a layer may hold has its `tensor` set, an index into `tensors`. `outputs`:
// the edges that the graph yields. A last layer without calls holds the tensors that operations
// read which are no part of any layer: they are shared with these. `placed`: the network of the
// graph for these outputs, which says what each operation computes.
LayerGraph PlaceLayers(const OpGraph& graph, const std::vector<TensorInfo>& tensors,
                       const std::vector<OpEdge>& outputs, const PlacedNetwork& placed);

}  // namespace ckpt
