// The text operands of pickle protocol 0.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ckpt::formats {

// A whole decimal number; nullopt where it is none or does not fit.
std::optional<std::int64_t> ParseDecimal(std::string_view text);
std::optional<double> ParseReal(std::string_view text);
// A quoted Python string literal: 'a\n\x00'. nullopt where it is none.
std::optional<std::string> ParseStringLiteral(std::string_view text);
// Python's raw-unicode-escape: Latin-1 with \uXXXX and \UXXXXXXXX, as UTF-8.
std::optional<std::string> ParseRawUnicode(std::string_view text);
// Latin-1 to UTF-8.
std::string Latin1ToUtf8(std::string_view text);

}  // namespace ckpt::formats
