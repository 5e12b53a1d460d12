// What a walk over a graph asks of a value, and where it ends.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "ckpt/model_graph.h"
#include "fold/folded_layer.h"

namespace ckpt {

// A layer that takes the batch norm, or a slice of its channels, with the conditions met on the
// way.
struct GraphTarget {
  LayerId layer = 0;
  std::size_t first_channel = 0;  // of the batch norm
  std::size_t channels = 0;
  bool adds_shift = true;  // false: another addend takes the shift
  ChannelOrder order = ChannelOrder::kSame;
  // Why the shift has to be 0, or the scale not negative: "\"pad\" pads with zeros". Empty: it need
  // not be.
  std::string needs_zero_shift = {};
  std::string needs_scale_not_negative = {};

  bool operator==(const GraphTarget&) const = default;
};

// A value is to be scaled and shifted along `axis`.
struct Demand {
  std::int64_t axis = -1;
  bool any_axis = false;  // every other axis but the batch has one element
  GraphTarget target = {};
};

}  // namespace ckpt
