#include "tensorflow_network/windows.h"

namespace ckpt::tf_network {

std::optional<std::int64_t> ChannelAxis(const Node& node) {
  const std::string format = node.Text("data_format", "NHWC");
  if (format == "NHWC" || format == "NDHWC" || format == "CHANNELS_LAST") return -1;
  if (format == "NCHW" || format == "NCDHW" || format == "CHANNELS_FIRST") return 1;
  return std::nullopt;
}

std::optional<Sizes> Spatial(const Sizes& list, std::size_t rank, std::int64_t channel_axis,
                             std::int64_t neutral) {
  if (list.empty()) return list;
  const std::size_t channel = channel_axis == 1 ? 1 : rank - 1;
  if (list.size() != rank || list[0] != neutral || list[channel] != neutral) return std::nullopt;
  Sizes spatial;
  for (std::size_t i = 1; i < rank; ++i) {
    if (i != channel) spatial.push_back(list[i]);
  }
  return spatial;
}

namespace {

// explicit_paddings: before and after, axis by axis.
std::optional<network::Padding> ExplicitPadding(const Node& node, std::size_t rank,
                                                std::int64_t channel_axis) {
  const Sizes list = node.List("explicit_paddings");
  if (list.size() != 2 * rank) return std::nullopt;
  Sizes before, after;
  for (std::size_t i = 0; i < rank; ++i) {
    before.push_back(list[2 * i]);
    after.push_back(list[2 * i + 1]);
  }
  const auto of_before = Spatial(before, rank, channel_axis, 0);
  const auto of_after = Spatial(after, rank, channel_axis, 0);
  if (!of_before || !of_after) return std::nullopt;
  return network::Padding{network::PaddingRule::kExplicit, *of_before, *of_after};
}

}  // namespace

tl::expected<WindowAttributes, std::string> WindowsOf(const Node& node, std::size_t rank) {
  WindowAttributes windows;
  const auto channel_axis = ChannelAxis(node);
  if (!channel_axis) return NotUnderstood("the data format " + node.Text("data_format", ""));
  windows.channel_axis = *channel_axis;
  const auto stride = Spatial(node.List("strides"), rank, *channel_axis, 1);
  const auto dilation = Spatial(node.List("dilations"), rank, *channel_axis, 1);
  if (!stride || !dilation) return NotUnderstood("windows over the examples or the channels");
  windows.stride = *stride;
  windows.dilation = *dilation;
  const std::string padding = node.Text("padding", "");
  if (padding == "SAME") {
    windows.padding.rule = network::PaddingRule::kSameUpper;
  } else if (padding == "EXPLICIT") {
    const auto amounts = ExplicitPadding(node, rank, *channel_axis);
    if (!amounts) return NotUnderstood("padding of the examples or the channels");
    windows.padding = *amounts;
  } else if (padding != "VALID") {
    return NotUnderstood("the padding \"" + padding + "\"");
  }
  return windows;
}

}  // namespace ckpt::tf_network
