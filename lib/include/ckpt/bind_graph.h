// The graph of one file as evidence for another.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ckpt/checkpoint.h"
#include "ckpt/layer_origin.h"

namespace ckpt {

struct BoundGraph {
  ModelGraph graph;
  std::vector<std::string> doubts = {};  // what could not be settled, for people
};

// The graph of `model`, its layers bound to the tensors of `names`: evidence for a file that has no
// graph itself. Each layer gets the tensors of its own module, also where the graph stores equal
// constants of several modules once; layers that read the same tensors of `names` become calls of
// one. A tensor that `names` lacks is one of the layer's missing_tensors. A layer whose tensors
// cannot be told has no kernel and is no batch norm, and a doubt says so. kUnfit where `model` has
// no graph, where a shape differs, or where no name of the graph occurs. Reads kernels that the
// graph stores once for several layers and the file for each: equal ones are one, shared by the
// layers.
Result<BoundGraph> BindGraph(const Checkpoint& model, const Checkpoint& names);

// The graph of operations of `model` as evidence for `names`: constants that are tensors of `model`
// are those of the same names in `names`, and none where it has no such tensor. kUnfit where a
// shape differs. REQUIRES: model.ops.
Result<std::shared_ptr<const OpGraph>> BindOps(const Manifest& model, const Manifest& names);

// Layers that read the same tensors and work alike become calls of one layer: for files of names,
// in which a tensor belongs to a module and not to each of its calls.
void JoinCalls(ModelGraph& graph);

// A checkpoint whose graph RecordsOrigins, for an output without that graph: what the exporter
// stored once for several modules is there under the name of each, and each layer reads its own.
// Any other checkpoint as it is.
Result<std::unique_ptr<Checkpoint>> WithOwnNames(std::unique_ptr<Checkpoint> checkpoint);

}  // namespace ckpt
