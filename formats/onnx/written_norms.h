// Norms that are written out in simple operations. Those that normalise each example by its own
// statistics (layer, group and instance norm, RMS norm, EvoNorm, switchable norm) are no batch
// norms, whatever their tensors are called; one whose statistics are reductions over all axes but
// the channel's is a batch norm in training mode, whatever they are called.
//
// Sources: arXiv:1607.06450 (layer norm), 1803.08494 (group norm), 1607.08022 (instance norm),
// 2004.02967 (EvoNorm), 1806.10779 (switchable norm).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "formats/onnx/constant_tensors.h"
#include "formats/onnx/graph_values.h"
#include "formats/onnx_proto/onnx.pb.h"

namespace ckpt::formats::onnx {

// What the constant that a node reads is to such a norm.
enum class NormPart : std::uint8_t { kNone, kScale, kOffset, kStatistic };

struct WrittenNormContext {
  const onnx_proto::GraphProto& graph;
  const ConstantTensors& constants;
  const GraphValues& values;
  // Elements of a small constant, by the value's name; absent: not known.
  std::function<std::optional<std::vector<double>>(const std::string&)> elements;
  std::function<std::optional<std::int64_t>(const std::string&)> rank;  // of a value
};

// (x - mean) / sqrt(variance + epsilon), scaled or moved by stored vectors.
struct BatchNormOfBatch {
  int deviation;                                // the node that takes the root
  std::string reduction;                        // "\"ReduceMean_4\" (ReduceMean)"
  std::map<NormPart, std::string> stored = {};  // what kScale and kOffset read, by value's name
};

struct WrittenNorms {
  // By node of the main graph. A norm over axes that include the first, the batch, or that are not
  // known, has no parts here: it may be a batch norm.
  std::vector<NormPart> parts;
  std::vector<BatchNormOfBatch> of_batch;
};

WrittenNorms FindWrittenNorms(const WrittenNormContext& context);

}  // namespace ckpt::formats::onnx
