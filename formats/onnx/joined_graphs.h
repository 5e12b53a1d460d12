// Several graphs of layers as one.
#pragma once

#include <utility>
#include <vector>

#include "ckpt/model_graph.h"

namespace ckpt::formats::onnx {

class GraphJoiner {
 public:
  // The first `nodes` layers of a graph are nodes of the file, those of every graph in a row; then
  // the other layers of each follow.
  GraphJoiner(ModelGraph first, LayerId nodes) { Add(std::move(first), nodes); }
  void Add(ModelGraph graph, LayerId nodes) { graphs_.push_back({std::move(graph), nodes}); }
  ModelGraph Joined() &&;

 private:
  struct Part {
    ModelGraph graph;
    LayerId nodes;
  };
  std::vector<Part> graphs_ = {};
};

}  // namespace ckpt::formats::onnx
