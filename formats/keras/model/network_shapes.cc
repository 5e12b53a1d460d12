// Reshapes of Keras.
#include <numeric>
#include <utility>

#include "formats/keras/model/layer_call.h"

namespace ckpt::formats::keras {

using network::kNoValue;
using network::Sizes;
using NetworkValue = network::ValueId;

namespace {

// With channels first, Keras moves the channels to the end before it flattens.
NetworkValue Flatten(const LayerCall& call) {
  const auto axis = call.ChannelAxis();
  if (!axis) return call.Unknown("its data format is not known");
  NetworkValue value = call.input();
  if (*axis == 1) {
    const auto rank = call.builder.RankOf(value);
    if (!rank) return call.Unknown("the rank of what it flattens is not known");
    if (*rank > 2) {
      Sizes order(static_cast<std::size_t>(*rank));
      std::iota(order.begin(), order.end(), 0);
      order.erase(order.begin() + 1);
      order.push_back(1);
      value = call.Add(network::Transpose{order}, {value}, "channels_last");
    }
  }
  return call.Add(network::MergeAxes{1, -1}, {value});
}

NetworkValue Reshape(const LayerCall& call) {
  const Json* target = Find(call.config, "target_shape");
  if (!target) target = Find(call.config, "dims");
  if (!target || !target->is_array()) return call.Unknown("its target is not known");
  network::Reshape reshape;
  reshape.of_example = true;
  for (const Json& size : *target) {
    const bool rest = size.is_null();
    if (!rest && !size.is_number_integer()) return call.Unknown("its target is not understood");
    reshape.shape.push_back(rest ? network::Reshape::kRest : size.get<std::int64_t>());
  }
  return call.Add(reshape, {call.input()});
}

NetworkValue Permute(const LayerCall& call) {
  const auto dims = call.ListOrInteger("dims");
  if (!dims) return call.Unknown("its order is not known");
  network::Transpose transpose;
  transpose.order.push_back(0);
  transpose.order.insert(transpose.order.end(), dims->begin(), dims->end());
  return call.Add(transpose, {call.input()});
}

NetworkValue RepeatVector(const LayerCall& call) {
  const auto count = call.Integer("n");
  if (!count) return call.Unknown("its count is not known");
  const NetworkValue wide = call.Add(network::InsertAxes{{1}}, {call.input()}, "row");
  return call.Add(network::Tile{{1, *count, 1}}, {wide});
}

}  // namespace

NetworkValue TranslateShapes(const LayerCall& call) {
  if (call.class_name == "Flatten") return Flatten(call);
  if (call.class_name == "Reshape") return Reshape(call);
  if (call.class_name == "Permute") return Permute(call);
  if (call.class_name == "RepeatVector") return RepeatVector(call);
  return kNoValue;
}

}  // namespace ckpt::formats::keras
