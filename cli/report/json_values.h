// What the JSON of several commands is made of; docs/json.md describes it. Names that are not valid
// UTF-8 are escaped as in EscapeForDisplay, and the object then has "name_escaped": true.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ckpt/batch_norm.h"

namespace ckpt::cli {

using Json = nlohmann::ordered_json;

Json JsonText(std::string_view text);  // a string, escaped where it is not UTF-8
Json JsonTexts(const std::vector<std::string>& texts);
Json JsonNumber(double value);                        // a number, or "nan", "inf", "-inf"
Json JsonNumber(const std::optional<double>& value);  // null where there is none
Json JsonError(const Error& error);
Json JsonEvidence(const std::vector<Evidence>& evidence);
Json JsonSourced(
    const std::optional<SourcedNumber>& number);  // {"value", "source", "detail"} or null
Json JsonTensor(const TensorInfo& info, const TensorRole& role);
Json JsonBatchNorm(const BatchNorm& batch_norm, const Manifest& manifest);

// One line or, for people's eyes, indented; always ends with a newline.
std::string Dump(const Json& json, bool indented);

}  // namespace ckpt::cli
