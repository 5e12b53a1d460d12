#include "verification/silent_channels.h"

#include <algorithm>

namespace ckpt {
namespace {

using network::Network;
using network::Operation;

bool Rectifies(const Operation& op) {
  const auto* unary = std::get_if<network::Unary>(&op.computation);
  if (unary == nullptr) return false;
  return unary->function == network::UnaryFunction::kRelu ||
         (unary->function == network::UnaryFunction::kClip && unary->a == 0);
}

// Of what the rectifier reads: the axis of the convolution or batch norm that made it.
std::int64_t ChannelAxisOf(const Network& net, const Operation& op) {
  const auto& producer = net.value(op.operands[0]).producer;
  if (!producer) return -1;
  const network::Computation& made = net.operation(*producer).computation;
  if (const auto* conv = std::get_if<network::Convolution>(&made)) return conv->channel_axis;
  if (const auto* norm = std::get_if<network::BatchNormalization>(&made)) return norm->axis;
  return -1;
}

}  // namespace

ChannelCount SilentChannels(const Network& net, network::ValueId id,
                            const execution::Array& value) {
  const auto& producer = net.value(id).producer;
  if (!producer || value.shape.size() < 2 || value.elements.empty()) return {};
  const Operation& op = net.operation(*producer);
  if (!Rectifies(op)) return {};
  const std::int64_t axis = ChannelAxisOf(net, op);
  const auto rank = static_cast<std::int64_t>(value.shape.size());
  const auto at = static_cast<std::size_t>(axis < 0 ? axis + rank : axis);
  if (at >= value.shape.size()) return {};
  std::size_t behind = 1;
  for (std::size_t i = at + 1; i < value.shape.size(); ++i) {
    behind *= static_cast<std::size_t>(value.shape[i]);
  }
  const auto channels = static_cast<std::size_t>(value.shape[at]);
  std::vector<bool> active(channels, false);
  for (std::size_t i = 0; i < value.elements.size(); ++i) {
    if (value.elements[i] != 0) active[i / behind % channels] = true;
  }
  return {channels, static_cast<std::uint64_t>(std::count(active.begin(), active.end(), false))};
}

}  // namespace ckpt
