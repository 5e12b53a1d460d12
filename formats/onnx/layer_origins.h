// Of which module of the framework each layer is, and under which names it reads its tensors.
#pragma once

#include <vector>

#include "ckpt/bind_graph.h"
#include "ckpt/checkpoint.h"
#include "formats/onnx_proto/onnx.pb.h"

namespace ckpt::formats::onnx {

// By layer. REQUIRES: manifest.graph was built from `model` by BuildModelGraph.
std::vector<LayerOrigin> LayerOriginsOf(const onnx_proto::ModelProto& model,
                                        const Manifest& manifest);

}  // namespace ckpt::formats::onnx
