// Statistics that a graph computes from the very input that they normalise.
#pragma once

#include <string>

#include "formats/onnx/layer_facts.h"

namespace ckpt::formats::onnx {

// The reduction by which a batch norm's input `index` (its mean, its variance) follows from the
// batch norm's own data: "\"ReduceMean_7\" (ReduceMean)"; empty where it does not. One value per
// channel that is a reduction of [N, C, ...] is a reduction over the batch.
std::string BatchReductionBehind(const NodeContext& context, int index);

}  // namespace ckpt::formats::onnx
