// A convolution between operations that only give it other axes: one of another rank or dilation.
#pragma once

#include <cstddef>

#include "ckpt/network/operation.h"

namespace ckpt {

// Between ExpandDims and Squeeze: without spatial axis `axis`, the first being 0. A computation
// that is no convolution stays as it is.
void DropSpatialAxis(std::size_t axis, network::Computation& computation);

// Between SpaceToBatchND and BatchToSpaceND. Either is SpaceAndBatch, or Unknown where the data
// decide its amounts: then some zeros pad, and nobody knows how many.
void Dilate(const network::Computation& apart, const network::Computation& together,
            network::Computation& computation);

}  // namespace ckpt
