// Arithmetic of sizes that come from a file: kUnknownSize stays unknown, overflow is an error.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "ckpt/network/network.h"
#include "ckpt/result.h"

namespace ckpt::network {

// No size of an axis, and no number of elements, is larger.
inline constexpr std::int64_t kLargestSize = std::int64_t{1} << 62;

inline bool IsKnown(std::int64_t size) { return size != kUnknownSize; }
bool AllKnown(std::span<const std::int64_t> sizes);

Result<std::int64_t> Plus(std::int64_t a, std::int64_t b);
Result<std::int64_t> Minus(std::int64_t a, std::int64_t b);
Result<std::int64_t> Times(std::int64_t a, std::int64_t b);
// kUnknownSize where one is not known; the product of none is 1.
Result<std::int64_t> ProductOf(std::span<const std::int64_t> sizes);

// The sizes of a list along an axis, `neutral` where the list is empty.
inline std::int64_t Along(const Sizes& list, std::size_t axis, std::int64_t neutral) {
  return axis < list.size() ? list[axis] : neutral;
}

Error Contradiction(std::string message);

// "[2, ?, 3]"
std::string ToText(std::span<const std::int64_t> sizes);

}  // namespace ckpt::network
