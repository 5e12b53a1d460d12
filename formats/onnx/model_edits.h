// Carries out a fold's edits in an ONNX model.
#pragma once

#include "ckpt/checkpoint.h"
#include "formats/onnx_proto/onnx.pb.h"

namespace ckpt::formats::onnx {

// Edits the nodes of the main graph and of InnerGraphsOf; the tensors themselves are the writer's.
// A batch norm that is removed leaves its output's name to what feeds it where something outside of
// the nodes reads it (an output of the model), so that the interface of the model stays. REQUIRES:
// manifest.graph was built from `model` by BuildModelGraph. kInternal where an edit does not fit
// the node.
Status ApplyEdits(const Manifest& manifest, const GraphEdits& edits, onnx_proto::ModelProto& model);

}  // namespace ckpt::formats::onnx
