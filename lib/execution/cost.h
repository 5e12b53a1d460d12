// What an operation takes, by shapes alone.
#pragma once

#include <cstdint>
#include <span>

#include "ckpt/network/operation.h"

namespace ckpt::execution {

// Shapes of the operands (those that are left out are empty) and of the results.
struct Shapes {
  std::span<const network::Sizes> operands, results;
};

// A product with its sum counts one, and so does any other function of one element; UINT64_MAX
// where that cannot be counted.
std::uint64_t MultiplyAdds(const network::Computation& computation, const Shapes& shapes);
// What the kernel holds beside operands and results; UINT64_MAX as above.
std::uint64_t ScratchBytes(const network::Computation& computation, const Shapes& shapes);

// 8 for each element, UINT64_MAX where that overflows.
std::uint64_t BytesOf(const network::Sizes& shape);
std::uint64_t SaturatingPlus(std::uint64_t a, std::uint64_t b);
std::uint64_t SaturatingTimes(std::uint64_t a, std::uint64_t b);

}  // namespace ckpt::execution
