// One row for each operation of the vocabulary.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <variant>

#include "ckpt/network/operation.h"

namespace ckpt::network {

struct OperationRow {
  std::string_view name;            // "Convolution": in reports and refusals
  std::uint8_t least_operands = 1;  // those that are never left out stand first
  std::uint8_t most_operands = 1;   // kAnyNumber: no bound
  std::uint8_t results = 1;         // kAnyNumber: what the file says
};
inline constexpr std::uint8_t kAnyNumber = 255;

// By the index of the alternative of Computation.
const OperationRow& RowOf(const Computation& computation) noexcept;
std::string_view Name(const Computation& computation) noexcept;
// "relu", "leaky_relu": for reports.
std::string_view Name(UnaryFunction function) noexcept;
std::string_view Name(BinaryFunction function) noexcept;

}  // namespace ckpt::network
