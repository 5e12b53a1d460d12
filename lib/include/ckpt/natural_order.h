// The order in which people number layers and files.
#pragma once

#include <string_view>

namespace ckpt {

// Orders numbers inside names by value: "bn2" before "bn10". Names of equal numbers in other
// digits, and all else, are ordered by bytes, so that the order is total.
bool NaturalLess(std::string_view a, std::string_view b) noexcept;

}  // namespace ckpt
