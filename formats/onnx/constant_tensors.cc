#include "formats/onnx/constant_tensors.h"

#include "formats/onnx/tensor_places.h"

namespace ckpt::formats::onnx {

ConstantTensors::ConstantTensors(const onnx_proto::GraphProto& graph)
    : passing_(static_cast<std::size_t>(graph.node_size()), false) {
  for (const auto& tensor : graph.initializer()) {
    constants_.emplace(tensor.name(), Constant{&tensor, tensor.name()});
  }
  for (int i = 0; i < graph.node_size(); ++i) {  // in topological order
    const auto& node = graph.node(i);
    if (node.output_size() != 1) continue;
    // Only looked at: the cast spares a second copy of ConstantValue.
    const auto* value = ConstantValue(const_cast<onnx_proto::NodeProto&>(node));
    if (value != nullptr) {
      constants_.emplace(node.output(0), Constant{value, node.output(0)});
      passing_[static_cast<std::size_t>(i)] = true;
    } else if (node.op_type() == "Identity" && IsOnnxOperator(node) && node.input_size() == 1) {
      const auto found = constants_.find(node.input(0));
      if (found == constants_.end()) continue;
      constants_.emplace(node.output(0), Constant(found->second));
      passing_[static_cast<std::size_t>(i)] = true;
    }
  }
}

const onnx_proto::TensorProto* ConstantTensors::Find(const std::string& value) const {
  const auto found = constants_.find(value);
  return found == constants_.end() ? nullptr : found->second.tensor;
}

const std::string& ConstantTensors::NameOf(const std::string& value) const {
  return constants_.at(value).name;
}

std::vector<std::int64_t> DimsOf(const onnx_proto::TensorProto& tensor) {
  return {tensor.dims().begin(), tensor.dims().end()};
}

}  // namespace ckpt::formats::onnx
