// White space around text.
#pragma once

#include <cctype>
#include <string_view>

namespace ckpt::formats {

inline bool IsBlank(char c) noexcept { return std::isspace(static_cast<unsigned char>(c)) != 0; }

// Without the white space at both ends; a view of the same text.
inline std::string_view Trimmed(std::string_view text) noexcept {
  while (!text.empty() && IsBlank(text.front())) text.remove_prefix(1);
  while (!text.empty() && IsBlank(text.back())) text.remove_suffix(1);
  return text;
}

}  // namespace ckpt::formats
