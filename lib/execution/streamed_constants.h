// Kernels of matrix products that are read in blocks.
#pragma once

#include "ckpt/execution/run.h"

namespace ckpt::execution {

// What a product holds of a streamed matrix at one time, the bytes of the file aside.
inline constexpr std::uint64_t kStreamedBytes = std::uint64_t{8} << 20;

// |elements| of a streamed array.
Array AbsoluteOfStreamed(const Array& array);

}  // namespace ckpt::execution
