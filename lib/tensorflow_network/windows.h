// The attributes of operations that move a window over the spatial axes.
#pragma once

#include "tensorflow_network/node.h"

namespace ckpt::tf_network {

struct WindowAttributes {
  std::int64_t channel_axis = -1;
  Sizes stride = {}, dilation = {};  // along the spatial axes
  network::Padding padding = {};
};

// data_format, strides, dilations, padding and explicit_paddings of an operation on data of this
// rank.
tl::expected<WindowAttributes, std::string> WindowsOf(const Node& node, std::size_t rank);

// 1 or -1 by data_format; nothing for a format of the hardware's ("NCHW_VECT_C").
std::optional<std::int64_t> ChannelAxis(const Node& node);

// The entries of a list by axes of the data for its spatial axes; nothing where it has another
// length or where the others are not `neutral`. An empty list stays one.
std::optional<Sizes> Spatial(const Sizes& list, std::size_t rank, std::int64_t channel_axis,
                             std::int64_t neutral);

}  // namespace ckpt::tf_network
