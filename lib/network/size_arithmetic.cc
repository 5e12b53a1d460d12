#include "network/size_arithmetic.h"

#include <algorithm>
#include <utility>

namespace ckpt::network {
namespace {

Result<std::int64_t> Within(bool overflowed, std::int64_t value) {
  if (overflowed || value > kLargestSize || value < -kLargestSize) {
    return Fail(ErrorCode::kLimitExceeded, "a size passes 2^62");
  }
  return value;
}

}  // namespace

bool AllKnown(std::span<const std::int64_t> sizes) {
  return std::all_of(sizes.begin(), sizes.end(), IsKnown);
}

Result<std::int64_t> Plus(std::int64_t a, std::int64_t b) {
  std::int64_t sum = 0;
  const bool overflowed = __builtin_add_overflow(a, b, &sum);
  return Within(overflowed, sum);
}
Result<std::int64_t> Minus(std::int64_t a, std::int64_t b) {
  std::int64_t difference = 0;
  const bool overflowed = __builtin_sub_overflow(a, b, &difference);
  return Within(overflowed, difference);
}
Result<std::int64_t> Times(std::int64_t a, std::int64_t b) {
  std::int64_t product = 0;
  const bool overflowed = __builtin_mul_overflow(a, b, &product);
  return Within(overflowed, product);
}

Result<std::int64_t> ProductOf(std::span<const std::int64_t> sizes) {
  std::int64_t product = 1;
  bool known = true;
  for (const std::int64_t size : sizes) {
    if (size == 0) return 0;
    known = known && IsKnown(size);
    if (!known) continue;
    CKPT_ASSIGN_OR_RETURN(product, Times(product, size));
  }
  return known ? product : kUnknownSize;
}

Error Contradiction(std::string message) { return {ErrorCode::kCorrupt, std::move(message)}; }

std::string ToText(std::span<const std::int64_t> sizes) {
  std::string text = "[";
  for (const std::int64_t size : sizes) {
    if (text.size() > 1) text += ", ";
    text += IsKnown(size) ? std::to_string(size) : "?";
  }
  return text + "]";
}

}  // namespace ckpt::network
