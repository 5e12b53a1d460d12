// Turns the big-endian elements of a stream into little-endian ones.
#pragma once

#include <cstddef>
#include <memory>

#include "ckpt/tensor.h"

namespace ckpt::formats {

// Reverses the bytes of each unit of `unit_bytes` (an element, or a part of a complex one).
std::unique_ptr<TensorStream> SwapBytes(std::unique_ptr<TensorStream> raw, std::size_t unit_bytes);

}  // namespace ckpt::formats
