#include "ckpt/error.h"

#include "ckpt/error_words.h"

namespace ckpt {
namespace {

// Length of the valid UTF-8 sequence at the start of `text`, 0 if there is none.
std::size_t Utf8Length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  std::size_t length = 0;
  unsigned low = 0x80, high = 0xBF;
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) length = 2;
  if (lead >= 0xE0 && lead <= 0xEF) length = 3;
  if (lead >= 0xF0 && lead <= 0xF4) length = 4;
  if (lead == 0xE0) low = 0xA0;
  if (lead == 0xED) high = 0x9F;
  if (lead == 0xF0) low = 0x90;
  if (lead == 0xF4) high = 0x8F;
  if (length == 0 || text.size() < length) return 0;
  if (byte(1) < low || byte(1) > high) return 0;
  for (std::size_t i = 2; i < length; ++i) {
    if (byte(i) < 0x80 || byte(i) > 0xBF) return 0;
  }
  return length;
}

// C1 controls, bidirectional marks, embeddings and isolates, line separators, the byte order mark.
bool IsDangerous(std::string_view sequence) {
  if (sequence.size() == 2)
    return sequence[0] == '\xC2' && static_cast<unsigned char>(sequence[1]) < 0xA0;
  if (sequence.size() != 3) return false;
  const auto second = static_cast<unsigned char>(sequence[1]);
  const auto third = static_cast<unsigned char>(sequence[2]);
  if (sequence[0] == '\xEF') return second == 0xBB && third == 0xBF;
  if (sequence[0] != '\xE2') return false;
  if (second == 0x80) return (third >= 0x8B && third <= 0x8F) || (third >= 0xA8 && third <= 0xAE);
  return second == 0x81 && third >= 0xA6 && third <= 0xA9;
}

void AppendHex(std::string& out, std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    out += "\\x";
    out += kDigits[byte >> 4];
    out += kDigits[byte & 15];
  }
}

constexpr std::size_t kLongestName = 300, kLongestMessage = 2000;

// `text` if it has at most `longest` bytes; else its head and tail, and how much is between.
std::string Shortened(const std::string& text, std::size_t longest) {
  if (text.size() <= longest) return text;
  const std::size_t kept = longest / 2;
  return text.substr(0, kept) + "[" + std::to_string(text.size() - 2 * kept) + " bytes]" +
         text.substr(text.size() - kept);
}

}  // namespace

std::string_view ErrorCodeName(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::kInvalidArgument:
      return "invalid-argument";
    case ErrorCode::kAlreadyExists:
      return "already-exists";
    case ErrorCode::kNotFound:
      return "not-found";
    case ErrorCode::kIo:
      return "io";
    case ErrorCode::kLimitExceeded:
      return "limit-exceeded";
    case ErrorCode::kCorrupt:
      return "corrupt";
    case ErrorCode::kUnsupported:
      return "unsupported";
    case ErrorCode::kUnsafe:
      return "unsafe";
    case ErrorCode::kUnfit:
      return "unfit";
    case ErrorCode::kInterrupted:
      return "interrupted";
    case ErrorCode::kInternal:
      return "internal";
  }
  return "internal";
}

std::string EscapeForDisplay(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const std::size_t length = Utf8Length(text);
    const std::string_view sequence = text.substr(0, length == 0 ? 1 : length);
    const auto lead = static_cast<unsigned char>(sequence[0]);
    if (sequence == "\\") {
      out += "\\\\";
    } else if (length == 0 || lead < 0x20 || lead == 0x7F || IsDangerous(sequence)) {
      AppendHex(out, sequence);
    } else {
      out += sequence;
    }
    text.remove_prefix(sequence.size());
  }
  return out;
}

std::string InWords(const Error& error) {
  std::string out;
  if (!error.file.empty()) out += error.file + ": ";
  if (error.offset) out += "byte " + std::to_string(*error.offset) + ": ";
  if (!error.tensor.empty()) out += "tensor \"" + Shortened(error.tensor, kLongestName) + "\": ";
  return out + Shortened(error.message, kLongestMessage);
}

std::string ToString(const Error& error) { return EscapeForDisplay(InWords(error)); }

}  // namespace ckpt
