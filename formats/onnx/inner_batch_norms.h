// Batch norms that are not in the main graph.
#pragma once

#include <string>

#include "formats/onnx_proto/onnx.pb.h"

namespace ckpt::formats::onnx {

// What to say of the batch norms in graphs of nodes (If, Loop, Scan) and in functions, which are
// neither judged nor folded; empty where there are none. REQUIRES: graphs are nested to a bounded
// depth, as ScanModel checks.
std::string NoteOnInnerBatchNorms(const onnx_proto::ModelProto& model);

}  // namespace ckpt::formats::onnx
