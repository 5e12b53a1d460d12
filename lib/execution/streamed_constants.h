// Kernels that are read in blocks.
#pragma once

#include "ckpt/execution/run.h"

namespace ckpt::execution {

// What is held of a streamed kernel at one time, the bytes of the file aside: a block, and its
// absolute values.
inline constexpr std::uint64_t kStreamedBytes = std::uint64_t{8} << 20;

// True where an operation can read this operand in blocks.
bool TakesStreamed(const network::Computation& computation, std::size_t operand);

// |elements| of a streamed array.
Array AbsoluteOfStreamed(const Array& array);

}  // namespace ckpt::execution
