#include "formats/torch/pickle_text.h"

#include <charconv>
#include <cstdlib>

#include "formats/encoding/utf8.h"

namespace ckpt::formats {
namespace {

std::optional<std::uint32_t> ParseHex(std::string_view text, std::size_t digits) {
  if (text.size() < digits) return std::nullopt;
  std::uint32_t value = 0;
  const char* const end = text.data() + digits;
  const auto [parsed, error] = std::from_chars(text.data(), end, value, 16);
  return error == std::errc() && parsed == end ? std::optional(value) : std::nullopt;
}

std::optional<char> SimpleEscape(char letter) {
  switch (letter) {
    case '\\':
    case '\'':
    case '"':
      return letter;
    case 'a':
      return '\a';
    case 'b':
      return '\b';
    case 'f':
      return '\f';
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 't':
      return '\t';
    case 'v':
      return '\v';
    default:
      return std::nullopt;
  }
}

}  // namespace

std::optional<std::int64_t> ParseDecimal(std::string_view text) {
  std::int64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [parsed, error] = std::from_chars(text.data(), end, value);
  return error == std::errc() && parsed == end ? std::optional(value) : std::nullopt;
}

std::optional<double> ParseReal(std::string_view text) {
  double value = 0;
  const char* const end = text.data() + text.size();
  const auto [parsed, error] = std::from_chars(text.data(), end, value);
  return error == std::errc() && parsed == end ? std::optional(value) : std::nullopt;
}

std::optional<std::string> ParseStringLiteral(std::string_view text) {
  const bool quoted = text.size() >= 2 && (text.front() == '\'' || text.front() == '"') &&
                      text.back() == text.front();
  if (!quoted) return std::nullopt;
  text = text.substr(1, text.size() - 2);
  std::string plain;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] != '\\') {
      plain += text[at];
      continue;
    }
    if (++at == text.size()) return std::nullopt;
    if (const auto simple = SimpleEscape(text[at])) {
      plain += *simple;
    } else if (text[at] == 'x') {
      const auto code = ParseHex(text.substr(at + 1), 2);
      if (!code) return std::nullopt;
      plain += static_cast<char>(*code);
      at += 2;
    } else {
      return std::nullopt;
    }
  }
  return plain;
}

std::optional<std::string> ParseRawUnicode(std::string_view text) {
  std::string plain;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const bool escape =
        text[at] == '\\' && at + 1 < text.size() && (text[at + 1] == 'u' || text[at + 1] == 'U');
    if (!escape) {
      AppendUtf8(static_cast<unsigned char>(text[at]), plain);
      continue;
    }
    const std::size_t digits = text[at + 1] == 'u' ? 4 : 8;
    const auto code = ParseHex(text.substr(at + 2), digits);
    if (!code || *code > 0x10FFFF) return std::nullopt;
    AppendUtf8(*code, plain);
    at += 1 + digits;
  }
  return plain;
}

std::string Latin1ToUtf8(std::string_view text) {
  std::string utf8;
  for (const char c : text) AppendUtf8(static_cast<unsigned char>(c), utf8);
  return utf8;
}

}  // namespace ckpt::formats
