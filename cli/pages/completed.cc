#include "cli/pages/completed.h"

#include <array>

#include "ckpt/audit.h"
#include "ckpt/dtype.h"
#include "ckpt/formats/format.h"

namespace ckpt::cli {
namespace {

enum class Value : std::uint8_t { kAny, kFile, kRule, kFormat, kType };

struct Row {
  std::string_view name;
  Value value;
};

constexpr std::array<Row, 29> kValues = {
    {{"FILE", Value::kFile},      {"[FORM:]FILE", Value::kFile}, {"NAME=FILE", Value::kFile},
     {"PATH", Value::kFile},      {"FOLDER", Value::kFile},      {"OLDER", Value::kFile},
     {"OTHER", Value::kFile},     {"INPUT", Value::kFile},       {"OUTPUT", Value::kFile},
     {"A", Value::kFile},         {"B", Value::kFile},           {"C", Value::kFile},
     {"ARGUMENTS", Value::kFile}, {"ID", Value::kRule},          {"RULE", Value::kRule},
     {"NAME", Value::kFormat},    {"DTYPE", Value::kType},       {"N", Value::kAny},
     {"X", Value::kAny},          {"SIZE", Value::kAny},         {"SHAPE", Value::kAny},
     {"GLOB", Value::kAny},       {"LAYER", Value::kAny},        {"TEXT", Value::kAny},
     {"REASON", Value::kAny},     {"TENSOR", Value::kAny},       {"A,B", Value::kAny},
     {"C,D", Value::kAny},        {"NAME=VALUE", Value::kAny}}};

std::vector<std::string> RuleIds() {
  std::vector<std::string> ids;
  for (const Rule& rule : Rules()) ids.emplace_back(rule.id);
  return ids;
}

std::vector<std::string> Formats(bool written_only) {
  std::vector<std::string> names;
  for (const formats::Format& format : formats::BuiltinFormats()) {
    if (!written_only || format.write != nullptr) names.emplace_back(format.name);
  }
  return names;
}

Completed Of(Value value, const Option& option) {
  switch (value) {
    case Value::kAny:
      return {};
    case Value::kFile:
      return {Completed::Kind::kFiles};
    case Value::kRule:
      return {Completed::Kind::kWords, RuleIds()};
    case Value::kFormat:
      return {Completed::Kind::kWords, Formats(option.names().front() == "--to")};
    case Value::kType:
      return {Completed::Kind::kWords, {"float16", "bfloat16", "float32", "float64"}};
  }
  return {};
}

}  // namespace

std::optional<Completed> CompletedBy(const Option& option) {
  if (!option.words().empty()) return Completed{Completed::Kind::kWords, option.words()};
  const std::string& name = option.is_positional() ? option.names().front() : option.value();
  for (const Row& row : kValues) {
    if (row.name == name) return Of(row.value, option);
  }
  return std::nullopt;
}

}  // namespace ckpt::cli
