// From elements as a bundle stores them to elements as a TensorStream yields them, and back.
#pragma once

#include <cstddef>
#include <span>

#include "formats/tf_bundle/tf_dtype.h"

namespace ckpt::formats {

// Decodes in place: swaps big-endian bytes, packs four-bit elements two to a byte (the first in the
// low half). Returns the bytes that hold the result. A packed type needs an even number of elements
// except in the last call for a tensor.
std::span<const std::byte> DecodeStored(const TfDtype& dtype, bool big_endian,
                                        std::span<std::byte> stored);

// The inverse for packed types: one element to a byte, in its low half, the high half 0.
// REQUIRES: stored.size() is the number of elements, packed.size() == (that + 1) / 2.
void UnpackNibbles(std::span<const std::byte> packed, std::span<std::byte> stored);

}  // namespace ckpt::formats
