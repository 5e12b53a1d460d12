#include "audit/wording.h"

#include <algorithm>
#include <array>
#include <cstdio>

namespace ckpt::audit {

std::string Number(double value) {
  std::array<char, 32> text{};
  const int length = std::snprintf(text.data(), text.size(), "%g", value);
  return std::string(text.data(), static_cast<std::size_t>(std::max(length, 0)));
}

std::string Plural(std::size_t count, std::string_view thing) {
  return std::to_string(count) + " " + std::string(thing) + (count == 1 ? "" : "s");
}

std::string Listed(std::span<const std::string> items, std::size_t named) {
  const std::size_t shown = items.size() <= named + 1 ? items.size() : named;
  const std::size_t rest = items.size() - shown;
  std::string text;
  for (std::size_t i = 0; i < shown; ++i) {
    if (i != 0) text += rest == 0 && i + 1 == shown ? " and " : ", ";
    text += items[i];
  }
  if (rest != 0) text += " and " + std::to_string(rest) + " more";
  return text;
}

}  // namespace ckpt::audit
