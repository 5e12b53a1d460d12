#include "layers/layer_of_operations.h"

namespace ckpt {

std::string ValueSource(const network::Network& network, network::ValueId id) {
  const network::Value& value = network.value(id);
  if (value.constant) return "a constant that no tensor of the file holds";
  if (!value.producer) return "an input of the model";
  const network::Operation& producer = network.operation(*value.producer);
  const network::LayerName& layer = network.layers[producer.layer];
  const bool fills = std::holds_alternative<network::Fill>(producer.computation) ||
                     std::holds_alternative<network::BroadcastTo>(producer.computation);
  return (fills ? "filled with one value by \"" : "computed by \"") + layer.name + "\" (" +
         layer.op_type + ")";
}

}  // namespace ckpt
