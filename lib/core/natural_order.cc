#include "ckpt/natural_order.h"

#include <cstddef>

namespace ckpt {
namespace {

bool IsDigit(char c) noexcept { return c >= '0' && c <= '9'; }

}  // namespace

bool NaturalLess(std::string_view a, std::string_view b) noexcept {
  std::size_t i = 0, j = 0;
  const auto run_end = [](std::string_view text, std::size_t from) {
    while (from < text.size() && IsDigit(text[from])) ++from;
    return from;
  };
  while (i < a.size() && j < b.size()) {
    if (IsDigit(a[i]) && IsDigit(b[j])) {
      const std::size_t a_end = run_end(a, i), b_end = run_end(b, j);
      while (i + 1 < a_end && a[i] == '0') ++i;
      while (j + 1 < b_end && b[j] == '0') ++j;
      const std::string_view left = a.substr(i, a_end - i), right = b.substr(j, b_end - j);
      if (left.size() != right.size()) return left.size() < right.size();
      if (left != right) return left < right;
      i = a_end;
      j = b_end;
    } else {
      if (a[i] != b[j]) {
        // Unsigned, as bytes are everywhere else.
        return static_cast<unsigned char>(a[i]) < static_cast<unsigned char>(b[j]);
      }
      ++i;
      ++j;
    }
  }
  if (a.size() - i != b.size() - j) return a.size() - i < b.size() - j;
  return a < b;  // "bn01" and "bn1": any fixed order
}

}  // namespace ckpt
