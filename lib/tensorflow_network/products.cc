// Source: tensorflow/core/ops/{math,linalg,nn}_ops.cc.
#include "tensorflow_network/windows.h"

namespace ckpt::tf_network {
namespace {

using network::Binary;
using network::BinaryFunction;
using network::MatrixProduct;

Outcome Product(Node& node, std::string_view of_a, std::string_view of_b) {
  MatrixProduct product;
  product.transpose_a = node.Bool(of_a, false);
  product.transpose_b = node.Bool(of_b, false);
  return node.Yield(product, {node.Input(0), node.Input(1)});
}

Outcome MatMul(Node& node) { return Product(node, "transpose_a", "transpose_b"); }
Outcome BatchMatMul(Node& node) { return Product(node, "adj_x", "adj_y"); }

Outcome EinsumOf(Node& node) {
  network::Einsum einsum{node.Text("equation", "")};
  if (einsum.equation.find("->") == std::string::npos) return NotUnderstood("no result is named");
  return node.Yield(einsum, node.Inputs());
}

// The bias [C] is added along the channels.
Outcome BiasAdd(Node& node) {
  const auto channel_axis = ChannelAxis(node);
  const auto rank = node.Rank(0);
  if (!channel_axis) return NotUnderstood("the data format " + node.Text("data_format", ""));
  if (*channel_axis == -1 || rank == 2) {
    return node.Yield(Binary{BinaryFunction::kAdd}, {node.Input(0), node.Input(1)});
  }
  if (!rank || *rank < 2) return NotUnderstood("the rank of its data is not known");
  Sizes shape(static_cast<std::size_t>(*rank - 1), 1);
  const network::Value& bias = node.builder().value(node.Input(1));
  const auto* stored =
      bias.constant ? std::get_if<network::StoredConstant>(&*bias.constant) : nullptr;
  ValueId spread;
  if (stored != nullptr && bias.shape && bias.shape->size() == 1 && stored->order.empty()) {
    shape[0] = bias.shape->front();
    spread = node.builder().AddStored(bias.name, {stored->tensor, shape, {}}, shape);
  } else {
    shape[0] = network::Reshape::kRest;
    spread = node.Add(network::Reshape{shape}, {node.Input(1)});
  }
  return node.Yield(Binary{BinaryFunction::kAdd}, {node.Input(0), spread});
}

constexpr Row kProductRows[] = {
    {"MatMul", 2, MatMul},
    {"SparseMatMul", 2, MatMul},
    {"BatchMatMul", 2, BatchMatMul},
    {"BatchMatMulV2", 2, BatchMatMul},
    {"BatchMatMulV3", 2, BatchMatMul},
    {"Einsum", 1, EinsumOf},
    {"BiasAdd", 2, BiasAdd},
    {"BiasAddV1", 2, BiasAdd},
};

}  // namespace

std::span<const Row> ProductRows() { return kProductRows; }

}  // namespace ckpt::tf_network
