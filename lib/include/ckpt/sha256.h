// SHA-256 of bytes in memory, by libcrypto.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace ckpt {

// In 64 lower-case hexadecimal digits; empty where libcrypto fails.
std::string Sha256(std::span<const std::byte> bytes);
std::string Sha256(std::string_view text);

std::string InHexadecimal(std::span<const unsigned char> bytes);

}  // namespace ckpt
