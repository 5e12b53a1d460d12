#include "formats/encoding/json_events.h"

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>

namespace ckpt::formats {
namespace {

using Json = nlohmann::json;

// Walks the text and leaves in `*seen` how far the parser has read.
class TrackingIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  TrackingIterator(const char* at, const char** seen) : at_(at), seen_(seen) {}
  reference operator*() const { return *at_; }
  TrackingIterator& operator++() {
    *seen_ = ++at_;
    return *this;
  }
  TrackingIterator operator++(int) {
    const TrackingIterator before = *this;
    ++*this;
    return before;
  }
  bool operator==(const TrackingIterator& other) const { return at_ == other.at_; }
  bool operator!=(const TrackingIterator& other) const { return at_ != other.at_; }

 private:
  const char* at_;
  const char** seen_;
};

bool IsNumberCharacter(char c) {
  return (c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.' || c == 'e' || c == 'E';
}

// The opening quote of the string whose closing quote is text[close]: a quote inside the string
// has an odd number of backslashes before it.
std::size_t OpeningQuote(std::string_view text, std::size_t close) {
  for (std::size_t at = close; at-- > 0;) {
    if (text[at] != '"') continue;
    std::size_t backslashes = 0;
    while (backslashes < at && text[at - 1 - backslashes] == '\\') ++backslashes;
    if (backslashes % 2 == 0) return at;
  }
  return 0;
}

// "[json.exception.parse_error.101] parse error at line 1, column 2: syntax error while ...".
std::string WithoutPrefix(std::string message) {
  const std::size_t cut = message.find(": ");
  return cut == std::string::npos ? message : message.substr(cut + 2);
}

// Receives nlohmann's events; its method names and signatures are those of nlohmann::json_sax.
class EventAdapter {
 public:
  EventAdapter(const JsonSource& source, unsigned max_depth,
               const std::function<Status(const JsonEvent&)>& on_event)
      : source_(source), max_depth_(max_depth), on_event_(on_event), seen_(source.text.data()) {}

  TrackingIterator begin() { return {source_.text.data(), &seen_}; }
  TrackingIterator end() { return {source_.text.data() + source_.text.size(), &seen_}; }
  Status TakeStatus() { return std::move(status_); }

  bool null() { return Send({JsonKind::kOther, "null", 0, Back(4), depth_}); }
  bool boolean(bool value) {
    return Send({JsonKind::kOther, "a boolean", 0, Back(value ? 4 : 5), depth_});
  }
  bool number_integer(std::int64_t /*value*/) {
    return Send({JsonKind::kOther, "a negative number", 0, NumberStart(), depth_});
  }
  bool number_unsigned(std::uint64_t value) {
    return Send({JsonKind::kUnsigned, {}, value, NumberStart(), depth_});
  }
  bool number_float(double /*value*/, const std::string& /*text*/) {
    return Send({JsonKind::kOther, "a number that is no 64-bit integer", 0, NumberStart(), depth_});
  }
  bool string(const std::string& value) { return SendText(JsonKind::kString, value); }
  bool key(const std::string& value) { return SendText(JsonKind::kKey, value); }
  bool binary(const Json::binary_t& /*value*/) { return false; }  // never sent for JSON text
  bool start_object(std::size_t /*unknown*/) { return Enter(JsonKind::kBeginObject); }
  bool start_array(std::size_t /*unknown*/) { return Enter(JsonKind::kBeginArray); }
  bool end_object() { return Leave(JsonKind::kEndObject); }
  bool end_array() { return Leave(JsonKind::kEndArray); }

  bool parse_error(std::size_t position, const std::string& /*token*/,
                   const Json::exception& error) {
    const std::size_t at = std::min(position == 0 ? 0 : position - 1, source_.text.size());
    return Refuse(ErrorCode::kCorrupt, "not JSON: " + WithoutPrefix(error.what()), at);
  }

 private:
  std::size_t Seen() const { return static_cast<std::size_t>(seen_ - source_.text.data()); }
  std::uint64_t Back(std::size_t length) const { return source_.base_offset + Seen() - length; }
  // The parser has read one byte past a number, unless the text ends there.
  std::uint64_t NumberStart() const {
    std::size_t at = Seen();
    if (at > 0 && !IsNumberCharacter(source_.text[at - 1])) --at;
    while (at > 0 && IsNumberCharacter(source_.text[at - 1])) --at;
    return source_.base_offset + at;
  }

  bool SendText(JsonKind kind, const std::string& value) {
    const std::size_t open = Seen() == 0 ? 0 : OpeningQuote(source_.text, Seen() - 1);
    return Send({kind, value, 0, source_.base_offset + open, depth_});
  }
  bool Enter(JsonKind kind) {
    if (depth_ >= max_depth_) {
      return Refuse(ErrorCode::kLimitExceeded,
                    "JSON is nested deeper than " + std::to_string(max_depth_) + " levels",
                    Seen() - 1);
    }
    return Send({kind, {}, 0, Back(1), depth_++});
  }
  bool Leave(JsonKind kind) { return Send({kind, {}, 0, Back(1), --depth_}); }
  bool Send(const JsonEvent& event) {
    status_ = on_event_(event);
    return status_.has_value();
  }
  bool Refuse(ErrorCode code, std::string message, std::size_t at) {
    status_ = Fail(Error{code, std::move(message)}.In(source_.file).At(source_.base_offset + at));
    return false;
  }

  const JsonSource& source_;
  unsigned max_depth_;
  const std::function<Status(const JsonEvent&)>& on_event_;
  const char* seen_;
  unsigned depth_ = 0;
  Status status_;
};

}  // namespace

Status ParseJson(const JsonSource& source, unsigned max_depth,
                 const std::function<Status(const JsonEvent&)>& on_event) {
  const auto corrupt = [&](std::string message, std::size_t at) {
    return Fail(
        Error{ErrorCode::kCorrupt, std::move(message)}.In(source.file).At(source.base_offset + at));
  };
  // Two leniencies of the parser: it takes a NUL for the end of the text and skips a mark.
  if (const std::size_t nul = source.text.find('\0'); nul != std::string_view::npos) {
    return corrupt("not JSON: a NUL byte", nul);
  }
  if (source.text.starts_with('\xEF')) return corrupt("not JSON: a byte order mark", 0);
  EventAdapter adapter(source, max_depth, on_event);
  try {
    Json::sax_parse(adapter.begin(), adapter.end(), &adapter);
  } catch (const Json::exception& thrown) {
    return Fail(Error{ErrorCode::kInternal, thrown.what()}.In(source.file));
  }
  return adapter.TakeStatus();
}

std::string_view Describe(const JsonEvent& event) noexcept {
  switch (event.kind) {
    case JsonKind::kBeginObject:
    case JsonKind::kEndObject:
      return "an object";
    case JsonKind::kBeginArray:
    case JsonKind::kEndArray:
      return "an array";
    case JsonKind::kKey:
      return "a key";
    case JsonKind::kString:
      return "a string";
    case JsonKind::kUnsigned:
      return "a number";
    case JsonKind::kOther:
      return event.text;
  }
  return event.text;
}

std::size_t SkipJsonSpace(std::string_view text) noexcept {
  return std::min(text.find_first_not_of(" \t\r\n"), text.size());
}

Result<std::string> QuoteJson(std::string_view text) {
  try {
    return Json(text).dump();
  } catch (const Json::type_error&) {
    return Fail(ErrorCode::kUnsupported, "is not UTF-8, which JSON text must be");
  }
}

}  // namespace ckpt::formats
