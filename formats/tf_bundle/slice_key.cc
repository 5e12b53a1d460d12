#include "formats/tf_bundle/slice_key.h"

#include <bit>
#include <cstddef>

namespace ckpt::formats {
namespace {

constexpr char kEscape0 = '\x00', kEscaped0 = '\xff';    // a 0 byte inside a string: 00 ff
constexpr char kEscapeFf = '\xff', kEscapedFf = '\x00';  // an ff byte inside a string: ff 00
constexpr char kTerminator = '\x01';                     // the end of a string: 00 01

char AsChar(std::uint64_t byte) { return static_cast<char>(static_cast<unsigned char>(byte)); }
std::uint64_t AsByte(char c) { return static_cast<unsigned char>(c); }

// How many bytes, then the bytes without leading zeros, highest first.
void AppendNumber(std::string* key, std::uint64_t value) {
  const unsigned size = (static_cast<unsigned>(std::bit_width(value)) + 7) / 8;
  key->push_back(AsChar(size));
  for (unsigned i = size; i-- > 0;) key->push_back(AsChar(value >> (8 * i)));
}

void AppendString(std::string* key, std::string_view text) {
  for (const char c : text) {
    key->push_back(c);
    if (c == kEscape0) key->push_back(kEscaped0);
    if (c == kEscapeFf) key->push_back(kEscapedFf);
  }
  key->push_back(kEscape0);
  key->push_back(kTerminator);
}

// A signed number takes n bytes, n >= 1: n bits that are the sign's complement, one bit that is the
// sign, then the 7n - 1 low bits of the two's complement. Negative numbers complement the header,
// so that keys sort as numbers do.
unsigned SignedSize(std::int64_t value) {
  const std::uint64_t magnitude = static_cast<std::uint64_t>(value < 0 ? ~value : value);
  return static_cast<unsigned>(std::bit_width(magnitude)) / 7 + 1;
}

void AppendSigned(std::string* key, std::int64_t value) {
  const unsigned size = SignedSize(value);
  // The number, sign-extended, in ten bytes; the header's bits are laid over the top of `size`.
  const auto byte_at = [&](unsigned from_end) -> std::uint64_t {
    const std::uint64_t sign = value < 0 ? 0xff : 0x00;
    return from_end < 8 ? static_cast<std::uint64_t>(value) >> (8 * from_end) & 0xff : sign;
  };
  for (unsigned i = 0; i < size; ++i) {
    std::uint64_t header = 0;  // `size` one bits from the top, in whole bytes
    for (unsigned bit = 0; bit < 8; ++bit) {
      if (8 * i + bit < size) header |= std::uint64_t{0x80} >> bit;
    }
    key->push_back(AsChar(byte_at(size - 1 - i) ^ header));
  }
}

// Takes parts off the front of a key.
class KeyReader {
 public:
  explicit KeyReader(std::string_view key) : rest_(key) {}

  bool AtEnd() const { return rest_.empty(); }

  bool Number(std::uint64_t* value) {
    if (rest_.empty()) return false;
    const std::uint64_t size = AsByte(rest_[0]);
    if (size > sizeof(*value) || rest_.size() < 1 + size) return false;
    *value = 0;
    for (std::size_t i = 1; i <= size; ++i) *value = *value << 8 | AsByte(rest_[i]);
    rest_.remove_prefix(1 + size);
    return true;
  }

  bool String(std::string* text) {
    for (std::size_t i = 0; i + 1 < rest_.size(); ++i) {
      const char c = rest_[i], next = rest_[i + 1];
      if (c == kEscape0 && next == kTerminator) {
        rest_.remove_prefix(i + 2);
        return true;
      }
      if (c == kEscape0 || c == kEscapeFf) {
        if (next != (c == kEscape0 ? kEscaped0 : kEscapedFf)) return false;
        ++i;
      }
      text->push_back(c);
    }
    return false;
  }

  bool Signed(std::int64_t* value) {
    if (rest_.empty()) return false;
    const bool negative = AsByte(rest_[0]) < 0x80;
    const std::uint64_t flip = negative ? 0xff : 0x00;
    std::uint64_t top = (AsByte(rest_[0]) ^ flip) << 8;
    if (rest_.size() > 1) top |= AsByte(rest_[1]) ^ flip;
    const auto size = static_cast<unsigned>(std::countl_one(static_cast<std::uint16_t>(top)));
    if (size > kMaxSignedBytes || rest_.size() < size) return false;
    // All but the header, complemented where it is negative, is the magnitude.
    std::uint64_t magnitude = 0;
    for (unsigned i = 0; i < size; ++i) {
      std::uint64_t byte = AsByte(rest_[i]) ^ flip;
      for (unsigned bit = 0; bit < 8; ++bit) {
        if (8 * i + bit < size) byte &= ~(std::uint64_t{0x80} >> bit);
      }
      magnitude = magnitude << 8 | byte;
    }
    if (magnitude > static_cast<std::uint64_t>(INT64_MAX)) return false;
    const auto positive = static_cast<std::int64_t>(magnitude);
    *value = negative ? ~positive : positive;
    rest_.remove_prefix(size);
    return true;
  }

 private:
  static constexpr unsigned kMaxSignedBytes = 10;
  std::string_view rest_;
};

}  // namespace

std::string EncodeSliceKey(std::string_view name, const std::vector<SliceExtent>& extents) {
  std::string key;
  AppendNumber(&key, 0);
  AppendString(&key, name);
  AppendNumber(&key, extents.size());
  for (const SliceExtent& extent : extents) {
    AppendSigned(&key, extent.start);
    AppendSigned(&key, extent.length);
  }
  return key;
}

std::optional<SliceKey> DecodeSliceKey(std::string_view key) {
  KeyReader reader(key);
  std::uint64_t zero = 0, rank = 0;
  SliceKey decoded;
  if (!reader.Number(&zero) || zero != 0 || !reader.String(&decoded.name) ||
      !reader.Number(&rank) || rank > key.size()) {
    return std::nullopt;
  }
  for (std::uint64_t i = 0; i < rank; ++i) {
    SliceExtent extent;
    if (!reader.Signed(&extent.start) || !reader.Signed(&extent.length)) return std::nullopt;
    decoded.extents.push_back(extent);
  }
  // Each key has one encoding; anything else only looks like one.
  if (!reader.AtEnd() || EncodeSliceKey(decoded.name, decoded.extents) != key) return std::nullopt;
  return decoded;
}

}  // namespace ckpt::formats
