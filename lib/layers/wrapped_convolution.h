// A convolution between operations that only give it other axes: one of another rank or dilation.
#pragma once

#include "ckpt/network/operation.h"

namespace ckpt {

// Takes in what `before` and `after` are around `convolution`, if that is an axis of one element
// that is inserted and dropped again, or parts of the data that are put together again: changes the
// convolution to what all three compute. Where operands say the amounts of parts, some zeros pad,
// and nobody knows how many. False: neither, and nothing is changed. `window`: the kernel's sizes
// along the spatial axes of its data; without the axis in the end.
bool Unwrap(const network::Computation& before, const network::Computation& after,
            network::Sizes& window, network::Computation& convolution);

}  // namespace ckpt
