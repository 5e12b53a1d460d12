// Norms that are written out in simple operations and normalise each example by its own statistics:
// layer, group and instance norm, RMS norm, EvoNorm, switchable norm. None is a batch norm,
// whatever its tensors are called.
//
// Sources: arXiv:1607.06450 (layer norm), 1803.08494 (group norm), 1607.08022 (instance norm),
// 2004.02967 (EvoNorm), 1806.10779 (switchable norm).
#pragma once

#include <cstdint>
#include <functional>
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

// By node of the main graph. A norm over axes that include the first, the batch, or that are not
// known, has no parts here: it may be a batch norm.
std::vector<NormPart> PartsOfWrittenNorms(const WrittenNormContext& context);

}  // namespace ckpt::formats::onnx
