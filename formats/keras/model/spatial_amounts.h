// Amounts along the spatial axes: of padding and cropping.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ckpt/network/operation.h"
#include "formats/keras/model/config_json.h"

namespace ckpt::formats::keras {

// Amounts before and behind each spatial axis: n, [n, n], [[a, b], [c, d]]; of one axis n or
// [a, b]. False: they are not understood.
bool ReadAmounts(const Json* value, std::size_t axes, network::Sizes& before,
                 network::Sizes& after);

// Counted from the front.
network::Sizes SpatialAxes(std::size_t axes, std::int64_t channel_axis);

}  // namespace ckpt::formats::keras
