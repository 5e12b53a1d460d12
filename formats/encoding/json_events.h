// Strict JSON (RFC 8259) as a sequence of events with byte offsets; no tree is built.
//
// Refused: invalid UTF-8, a byte order mark, NUL bytes, comments, trailing text, nesting beyond
// `max_depth`. Keys that repeat are the caller's to refuse: only it knows which objects matter.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "ckpt/result.h"

namespace ckpt::formats {

enum class JsonKind : std::uint8_t {
  kBeginObject,
  kEndObject,
  kBeginArray,
  kEndArray,
  kKey,
  kString,
  kUnsigned,  // an integer of 0 to 2^64 - 1, written without fraction or exponent
  kOther,     // null, a boolean or any other number
};

struct JsonEvent {
  JsonKind kind;
  // kKey and kString: the decoded text. kOther: what it is, for messages ("a boolean"). Valid
  // during the call.
  std::string_view text;
  std::uint64_t number;  // of kUnsigned
  std::uint64_t offset;  // of the first byte of the token: text offset plus `base_offset`
  unsigned depth;        // containers open around the token; 0 for the outermost braces
};

struct JsonSource {
  std::string_view text;
  std::uint64_t base_offset = 0;  // of text[0] in `file`
  std::string file = {};          // for messages
};

// Calls `on_event` for each token until the end or the first failure, which is returned.
Status ParseJson(const JsonSource& source, unsigned max_depth,
                 const std::function<Status(const JsonEvent&)>& on_event);

// "an object", "a string", ...: what an event is, for messages.
std::string_view Describe(const JsonEvent& event) noexcept;

// The offset in `text` of the first byte that is not JSON whitespace; text.size() if there is none.
std::size_t SkipJsonSpace(std::string_view text) noexcept;

// `text` as a JSON string with its quotes: the shortest escapes, everything else as it is.
// kUnsupported unless it is UTF-8.
Result<std::string> QuoteJson(std::string_view text);

}  // namespace ckpt::formats
