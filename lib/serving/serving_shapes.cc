#include "ckpt/serving_shapes.h"

#include <algorithm>

#include "ckpt/network/network.h"

namespace ckpt {
namespace {

// Each signature is a network of its own to make.
constexpr std::size_t kMostSignatures = 16;

bool IsToldInFull(const OpSignature& signature) {
  return std::all_of(signature.outputs.begin(), signature.outputs.end(), [&](const auto& output) {
    const auto type = signature.output_types.find(output.first);
    return type != signature.output_types.end() && type->second.shape;
  });
}

void AddKnownShapes(const network::Network& network, OpSignature& signature) {
  for (const network::Port& port : network.outputs) {
    const network::PartialShape& shape = network.value(port.value).shape;
    if (!shape || !signature.outputs.contains(port.name)) continue;
    OpTensorType& type = signature.output_types[port.name];
    if (!type.shape) type.shape = OpShape::value_type(shape->begin(), shape->end());
  }
}

}  // namespace

void AddKnownShapes(const ServingModel& model, OpGraph& graph) {
  for (std::size_t i = 0; i < std::min(kMostSignatures, graph.signatures.size()); ++i) {
    if (IsToldInFull(graph.signatures[i])) continue;
    if (const auto network = model.NetworkOf(i)) AddKnownShapes(*network, graph.signatures[i]);
  }
}

}  // namespace ckpt
