// The JSON text of a Keras config: parsed strictly and within bounds, and written back with its
// keys in their order, so that an edited config differs from its source only where it was edited.
//
// Python's json module writes NaN, Infinity and -Infinity, which JSON lacks; they survive a round
// trip, and are no numbers to a reader.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>

#include "ckpt/result.h"

namespace ckpt::formats::keras {

using Json = nlohmann::ordered_json;

inline constexpr std::size_t kMaxConfigBytes = std::size_t{16} << 20;
inline constexpr std::size_t kMaxConfigDepth = 200;

// kCorrupt (with the offset in the text) for malformed JSON, duplicate keys and invalid UTF-8,
// kLimitExceeded for longer or deeper text than the above.
Result<Json> ParseConfigJson(std::string_view text);

// ASCII, without white space.
std::string DumpConfigJson(const Json& json);

// The member `key` of an object; null where `json` is no object or lacks it.
const Json* Find(const Json& json, std::string_view key);
Json* Find(Json& json, std::string_view key);

// One of the names?
bool Contains(std::span<const std::string_view> names, std::string_view name);

// null, False, or a list of these, which stands for the masks of several inputs.
bool IsAbsent(const Json& value);

}  // namespace ckpt::formats::keras
