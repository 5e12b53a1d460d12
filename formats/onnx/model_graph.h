// The graph of layers of an ONNX model.
//
// Layer i is node i of the main graph (so that edits of layers are edits of nodes), as are the
// operations in Layer::read_by, path and beside; then the nodes of each of InnerGraphsOf follow.
// The inputs of the graphs and values that nothing yields come behind, and for each graph a layer
// that reads what it yields without computing it. A node that is part of another layer, or passes
// on a constant, is a layer without a call.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "ckpt/checkpoint.h"
#include "ckpt/model_graph.h"
#include "formats/onnx_proto/onnx.pb.h"

namespace ckpt::formats::onnx {

struct TensorLookup {
  std::function<std::optional<TensorId>(const std::string&)> find;
  std::function<std::optional<std::vector<double>>(TensorId)> elements;  // of a small tensor
};

// Found over the operations of the nodes (FindLayers); what a node records beyond them is added
// here. A node with a graph inside is kOther, and what that reads is an output of the model.
// `model` is the document of the reader of `weights`, as for MakeNetwork, or its flat model.
ModelGraph BuildModelGraph(onnx_proto::ModelProto& model, const Checkpoint& weights,
                           const TensorLookup& tensors);

}  // namespace ckpt::formats::onnx
