// What an ONNX node records that its operations do not say, by operator set version.
//
// Source: the operator documentation of ONNX (docs/Operators.md, docs/Changelog.md).
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "ckpt/model_graph.h"
#include "formats/onnx/constant_tensors.h"
#include "formats/onnx/graph_values.h"
#include "formats/onnx_proto/onnx.pb.h"

namespace ckpt::formats::onnx {

// The newest version of ONNX's own operators whose meaning is known here.
inline constexpr std::int64_t kNewestOpset = 28;

// What a node is looked at with.
struct NodeContext {
  const onnx_proto::NodeProto& node;
  std::int64_t opset;
  const ConstantTensors& constants;
  const GraphValues& values;
  const onnx_proto::GraphProto& graph;
  // The tensor of the manifest by name, and the elements of a small one; absent: not known.
  std::function<std::optional<TensorId>(const std::string&)> tensor;
  std::function<std::optional<std::vector<double>>(TensorId)> elements;
  std::function<std::optional<std::int64_t>(const std::string&)> rank;  // of a value

  std::string Input(int index) const {
    return index < node.input_size() ? node.input(index) : std::string();
  }
  // The stored constant that an input is.
  std::optional<TensorId> Constant(int index) const;
  std::optional<std::vector<double>> ConstantElements(int index) const;
};

// The node's name, its first output's where it has none, else its operator.
std::string NameOf(const onnx_proto::NodeProto& node);

// Why a batch norm normalises by its batch, by the rules of each version (is_test before 7, the
// number of outputs before 14, then an attribute); empty: it does not.
std::string TrainingModeOf(const onnx_proto::NodeProto& node, std::int64_t opset);

// What the node records beyond what its operations say of `layer`: a batch norm's mode and what
// gives its vectors, why a dropout is at work, what an old operator set leaves to runtimes.
void DescribeNode(const NodeContext& context, Layer& layer);

}  // namespace ckpt::formats::onnx
