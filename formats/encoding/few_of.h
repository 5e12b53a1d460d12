// A list for a message, which stays short.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>

namespace ckpt::formats {

// "a, b, c and 4 more": the first `most` of them.
inline std::string FewOf(std::span<const std::string> texts, std::size_t most) {
  std::string few;
  for (std::size_t i = 0; i < std::min(texts.size(), most); ++i) {
    few += (i == 0 ? "" : ", ") + texts[i];
  }
  if (texts.size() > most) few += " and " + std::to_string(texts.size() - most) + " more";
  return few;
}

}  // namespace ckpt::formats
