// Batch norms that are no layers of the graph: in graphs inside of nodes (If, Loop, Scan) and in
// functions that stay as they are (see FlattenModel).
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "ckpt/model_graph.h"
#include "formats/onnx/model_functions.h"
#include "formats/onnx/model_graph.h"
#include "formats/onnx_proto/onnx.pb.h"

namespace ckpt::formats::onnx {

struct InnerBatchNorms {
  // One for each batch norm and each set of constants that it reads: a function's are given by its
  // calls. No layer has a call, since no value of the main graph is theirs: they are judged, and
  // Layer::not_affine says why they are not folded.
  std::vector<Layer> layers = {};
  std::size_t unreached = 0;  // batch norms of functions that nothing calls, or too deep
};

// `model` is the document of the reader of the checkpoint, or its flat model; `kept` says why
// functions stay. REQUIRES: graphs are nested to a bounded depth, as ScanModel checks.
InnerBatchNorms FindInnerBatchNorms(onnx_proto::ModelProto& model, const TensorLookup& tensors,
                                    const std::map<FunctionKey, std::string>& kept);

// What to say of them; empty where there are none.
std::string NoteOn(const InnerBatchNorms& inner);

}  // namespace ckpt::formats::onnx
