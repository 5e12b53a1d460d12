// Of which module of the framework each layer is, and under which names it reads its tensors.
#pragma once

#include <vector>

#include "ckpt/bind_graph.h"
#include "formats/onnx_proto/onnx.pb.h"

namespace ckpt::formats::onnx {

// By layer of `graph`, which BuildModelGraph made of `model`.
std::vector<LayerOrigin> LayerOriginsOf(const onnx_proto::ModelProto& model,
                                        const ModelGraph& graph);

}  // namespace ckpt::formats::onnx
