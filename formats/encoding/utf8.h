// Code points as UTF-8 (RFC 3629).
#pragma once

#include <cstdint>
#include <string>

namespace ckpt::formats {

// Appends `code`, which is at most 0x10FFFF. A surrogate is kept as the three bytes it would have:
// such a name is data, and cannot be printed. Callers that refuse surrogates look before.
void AppendUtf8(std::uint32_t code, std::string& out);

}  // namespace ckpt::formats
