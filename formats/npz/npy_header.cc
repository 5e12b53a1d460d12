#include "formats/npz/npy_header.h"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "formats/encoding/byte_reader.h"

namespace ckpt::formats {
namespace {

struct DescrRow {
  std::string_view code;  // kind and size, without the byte order
  Dtype dtype;
  std::string_view descr;  // as NumPy writes it
};
constexpr std::array<DescrRow, 14> kDescrRows = {{
    {"b1", Dtype::kBool, "|b1"},
    {"i1", Dtype::kI8, "|i1"},
    {"u1", Dtype::kU8, "|u1"},
    {"i2", Dtype::kI16, "<i2"},
    {"u2", Dtype::kU16, "<u2"},
    {"i4", Dtype::kI32, "<i4"},
    {"u4", Dtype::kU32, "<u4"},
    {"i8", Dtype::kI64, "<i8"},
    {"u8", Dtype::kU64, "<u8"},
    {"f2", Dtype::kF16, "<f2"},
    {"f4", Dtype::kF32, "<f4"},
    {"f8", Dtype::kF64, "<f8"},
    {"c8", Dtype::kC64, "<c8"},
    {"c16", Dtype::kC128, "<c16"},
}};

tl::unexpected<Error> Corrupt(std::uint64_t offset, std::string message) {
  return Fail(Error{ErrorCode::kCorrupt, std::move(message)}.At(offset));
}

// A number without sign or leading zeros; nothing above 2^63 - 1.
std::optional<std::int64_t> ParseNumber(std::string_view digits) {
  constexpr auto kMax = std::numeric_limits<std::int64_t>::max();
  if (digits.empty() || (digits.size() > 1 && digits[0] == '0')) return std::nullopt;
  std::int64_t value = 0;
  for (const char c : digits) {
    if (c < '0' || c > '9') return std::nullopt;
    if (value > (kMax - (c - '0')) / 10) return std::nullopt;
    value = value * 10 + (c - '0');
  }
  return value;
}

// Reads the dict literal of a header. Values are kept as they are written.
class LiteralReader {
 public:
  LiteralReader(std::string_view text, std::uint64_t base_offset)
      : text_(text), base_offset_(base_offset) {}

  struct Value {
    std::string_view text;  // of descr without quotes; records with their brackets
    std::uint64_t offset;   // of its first byte
  };
  std::optional<Value> descr;
  bool descr_is_string = false;
  std::optional<bool> fortran_order;
  std::optional<std::vector<std::int64_t>> shape;

  Status Read() {
    CKPT_RETURN_IF_ERROR(Expect('{'));
    while (!Take('}')) {
      CKPT_RETURN_IF_ERROR(ReadItem());
      if (Take(',')) continue;
      CKPT_RETURN_IF_ERROR(Expect('}'));
      break;
    }
    SkipSpace();
    if (at_ != text_.size()) return Wrong("the end of the header");
    if (!descr || !fortran_order || !shape) {
      return Corrupt(base_offset_, "the header lacks descr, fortran_order or shape");
    }
    return {};
  }

 private:
  tl::unexpected<Error> Wrong(const std::string& expected) const {
    return Corrupt(base_offset_ + at_, "the header of the array is not what NumPy writes: " +
                                           expected + " is expected here");
  }
  char Peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  void SkipSpace() {
    while (at_ < text_.size() && std::string_view(" \t\r\n\f").find(text_[at_]) != text_.npos)
      ++at_;
  }
  bool Take(char c) {
    SkipSpace();
    if (Peek() != c || at_ == text_.size()) return false;
    ++at_;
    return true;
  }
  Status Expect(char c) {
    if (Take(c)) return {};
    return Wrong(std::string("a '") + c + "'");
  }

  Status ReadItem() {
    CKPT_ASSIGN_OR_RETURN(const std::string_view key, ReadString());
    CKPT_RETURN_IF_ERROR(Expect(':'));
    SkipSpace();
    if (key == "descr" && !descr) return ReadDescr();
    if (key == "fortran_order" && !fortran_order) return ReadBool();
    if (key == "shape" && !shape) return ReadShape();
    return Corrupt(base_offset_ + at_,
                   "the header has an unknown or repeated key \"" + std::string(key) + "\"");
  }

  Result<std::string_view> ReadString() {
    SkipSpace();
    const char quote = Peek();
    if (quote != '\'' && quote != '"') return Wrong("a string");
    const std::size_t start = ++at_;
    while (at_ < text_.size() && text_[at_] != quote) {
      if (text_[at_] == '\\' || text_[at_] == '\n') return Wrong("a plain string");
      ++at_;
    }
    if (at_ == text_.size()) return Wrong("the end of a string");
    return text_.substr(start, at_++ - start);
  }

  Status ReadDescr() {
    descr.emplace(Value{});
    descr->offset = base_offset_ + at_;
    if (Peek() != '[' && Peek() != '(') {
      descr_is_string = true;
      CKPT_ASSIGN_OR_RETURN(descr->text, ReadString());
      return {};
    }
    const std::size_t start = at_;
    CKPT_RETURN_IF_ERROR(SkipBrackets());
    descr->text = text_.substr(start, at_ - start);
    return {};
  }

  // Past a list or tuple of lists, tuples, strings and numbers: the fields of records.
  Status SkipBrackets() {
    std::uint64_t depth = 0;
    do {
      const char c = Peek();
      if (at_ == text_.size()) return Wrong("a closing bracket");
      if (c == '\'' || c == '"') {
        CKPT_RETURN_IF_ERROR(ReadString());
        continue;
      }
      if (c == '[' || c == '(') ++depth;
      if (c == ']' || c == ')') --depth;
      ++at_;
    } while (depth > 0);
    return {};
  }

  Status ReadBool() {
    for (const bool value : {true, false}) {
      const std::string_view word = value ? "True" : "False";
      if (!text_.substr(at_).starts_with(word)) continue;
      at_ += word.size();
      fortran_order = value;
      return {};
    }
    return Wrong("True or False");
  }

  Status ReadShape() {
    shape.emplace();
    CKPT_RETURN_IF_ERROR(Expect('('));
    bool comma = true;
    while (!Take(')')) {
      if (!comma) return Wrong("a comma");
      SkipSpace();
      const std::size_t start = at_;
      while (Peek() >= '0' && Peek() <= '9') ++at_;
      const auto dim = ParseNumber(text_.substr(start, at_ - start));
      if (!dim) {
        at_ = start;
        return Wrong("a dimension of at most 2^63 - 1");
      }
      if (Peek() == 'L') ++at_;  // Python 2 wrote long integers so
      shape->push_back(*dim);
      comma = Take(',');
    }
    if (shape->size() == 1 && !comma) return Wrong("a comma: (3) is no tuple in Python");
    return {};
  }

  std::string_view text_;
  std::uint64_t base_offset_;
  std::size_t at_ = 0;
};

// Byte strings, text and opaque bytes: a kind and a count of bytes or characters.
std::optional<NpyHeader> SizedKind(char kind, std::int64_t count) {
  constexpr std::int64_t kMaxCount = std::numeric_limits<std::int64_t>::max() / 4;
  if (count > kMaxCount) return std::nullopt;
  NpyHeader header;
  header.item_bytes = static_cast<std::uint64_t>(count) * (kind == 'U' ? 4U : 1U);
  header.dtype = kind == 'V' ? Dtype::kVoid : Dtype::kString;
  header.kind = kind == 'V' ? NpyKind::kPlain : kind == 'S' ? NpyKind::kBytes : NpyKind::kText;
  return header;
}

// Everything that follows from a descr; shape and order are still to be filled in.
Result<NpyHeader> InterpretDescr(std::string_view descr, std::uint64_t offset) {
  NpyHeader header;
  header.kind = NpyKind::kUnsupported;
  if (descr.size() < 2 || std::string_view("<>|=").find(descr[0]) == descr.npos) {
    return Corrupt(offset, "\"" + std::string(descr) + "\" is no NumPy dtype");
  }
  const std::string_view code = descr.substr(1);
  for (const DescrRow& row : kDescrRows) {
    if (row.code != code) continue;
    header.kind = NpyKind::kPlain;
    header.dtype = row.dtype;
    header.item_bytes = BitSize(row.dtype) / 8;
  }
  if (code == "O") header.kind = NpyKind::kObject;
  const auto count = ParseNumber(code.substr(1));
  if (std::string_view("SUV").find(code[0]) != code.npos) {
    const auto sized = count ? SizedKind(code[0], *count) : std::nullopt;
    if (!sized) return Corrupt(offset, "\"" + std::string(descr) + "\" is no NumPy dtype");
    header = *sized;
  }
  header.big_endian = descr[0] == '>' && header.item_bytes > 1;
  return header;
}

}  // namespace

Result<std::uint64_t> ReadNpyPreamble(std::string_view start) {
  if (!start.starts_with(kNpyMagic)) return Corrupt(0, "is not a NumPy array: it has no magic");
  ByteReader reader(std::as_bytes(std::span(start.substr(kNpyMagic.size()))), kNpyMagic.size());
  const unsigned major = reader.U8(), minor = reader.U8();
  if (reader.ok() && (major < 1 || major > 3 || minor != 0)) {
    return Fail(Error{ErrorCode::kUnsupported, "has version " + std::to_string(major) + "." +
                                                   std::to_string(minor) +
                                                   " of the npy format; 1.0 to 3.0 are read"}
                    .At(kNpyMagic.size()));
  }
  const std::uint64_t size = major == 1 ? reader.U16() : reader.U32();
  CKPT_RETURN_IF_ERROR(reader.status());
  if (size > kMaxNpyHeader) {
    return Fail(Error{ErrorCode::kLimitExceeded,
                      "claims an array header of " + std::to_string(size) + " bytes"}
                    .At(kNpyMagic.size() + 2));
  }
  return reader.offset() + size;
}

Result<NpyHeader> ParseNpyHeader(std::string_view head) {
  CKPT_ASSIGN_OR_RETURN(const std::uint64_t size, ReadNpyPreamble(head));
  if (size > head.size()) {
    return Corrupt(head.size(), "ends inside the header of its array");
  }
  const std::size_t start = head[kNpyMagic.size()] == 1 ? 10 : 12;
  LiteralReader literal(head.substr(start, static_cast<std::size_t>(size) - start), start);
  CKPT_RETURN_IF_ERROR(literal.Read());

  NpyHeader header;
  header.kind = NpyKind::kUnsupported;
  if (literal.descr_is_string) {
    CKPT_ASSIGN_OR_RETURN(header, InterpretDescr(literal.descr->text, literal.descr->offset));
  }
  constexpr std::size_t kShown = 60;
  header.descr = literal.descr->text.substr(0, kShown);
  header.fortran_order = *literal.fortran_order;
  header.data_offset = size;
  auto shape = Shape::FromDims(*literal.shape);
  if (!shape) return Corrupt(start, shape.error().message);
  header.shape = *std::move(shape);
  if (!CheckedMul(header.shape.element_count(), header.item_bytes, &header.data_bytes)) {
    return Corrupt(start,
                   "the size of " + ToString(header.shape) + " of " + header.descr + " overflows");
  }
  return header;
}

std::string BuildNpyHeader(std::string_view descr, const Shape& shape) {
  constexpr std::size_t kAlignment = 64, kGrowthDigits = 21, kPreamble = 10;
  std::string dims;
  for (const std::int64_t dim : shape.dims()) {
    dims += (dims.empty() ? "" : ", ") + std::to_string(dim);
  }
  if (shape.rank() == 1) dims += ',';
  std::string header =
      "{'descr': '" + std::string(descr) + "', 'fortran_order': False, 'shape': (" + dims + "), }";
  // NumPy leaves room for the first dimension to grow in place.
  if (shape.rank() > 0) header.append(kGrowthDigits - std::to_string(shape[0]).size(), ' ');
  header.append(kAlignment - (kPreamble + header.size() + 1) % kAlignment, ' ');
  header += '\n';
  std::string bytes(kNpyMagic);
  bytes += {'\x01', '\x00', static_cast<char>(header.size() & 0xFF),
            static_cast<char>(header.size() >> 8)};
  return bytes + header;
}

std::string_view NpyDescr(Dtype dtype) noexcept {
  for (const DescrRow& row : kDescrRows) {
    if (row.dtype == dtype) return row.descr;
  }
  return {};
}

}  // namespace ckpt::formats
