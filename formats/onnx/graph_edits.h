// Carries out a fold's edits in the nodes of one graph of an ONNX model.
#pragma once

#include <cstdint>
#include <set>
#include <string>

#include "ckpt/checkpoint.h"
#include "formats/onnx_proto/onnx.pb.h"

namespace ckpt::formats::onnx {

// A graph of a model, whose nodes are the layers from `first` on.
struct EditedGraph {
  onnx_proto::GraphProto* graph;
  LayerId first;
  const onnx_proto::GraphProto* view;  // the same with the constants that it reads
  std::int64_t opset;
};

// `edits` are of that graph's nodes alone; no new value has a name of `taken`. kInternal where an
// edit does not fit its node.
Status EditNodes(const Manifest& manifest, const GraphEdits& edits, const EditedGraph& edited,
                 std::set<std::string>& taken);

}  // namespace ckpt::formats::onnx
