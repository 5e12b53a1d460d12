#include "formats/keras/model/config_json.h"

#include <algorithm>
#include <array>
#include <unordered_set>
#include <utility>
#include <vector>

namespace ckpt::formats::keras {
namespace {

// While in memory, Python's literals are strings that begin with the character U+0001.
constexpr std::array<std::string_view, 3> kLiterals = {"NaN", "-Infinity", "Infinity"};

std::string MarkPythonLiterals(std::string_view text) {
  std::string marked;
  marked.reserve(text.size());
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"') in_string = !in_string;
    if (in_string && c == '\\' && i + 1 < text.size()) {
      marked.append(text.substr(i++, 2));
      continue;
    }
    std::string_view literal;
    for (const std::string_view candidate : kLiterals) {
      if (!in_string && text.substr(i).starts_with(candidate)) literal = candidate;
    }
    if (literal.empty()) {
      marked += c;
      continue;
    }
    marked.append("\"\\u0001").append(literal).append("\"");
    i += literal.size() - 1;
  }
  return marked;
}

// Builds the document while it checks what nlohmann::json would let pass.
class StrictBuilder : public nlohmann::json_sax<Json> {
 public:
  bool null() override { return Add(nullptr); }
  bool boolean(bool value) override { return Add(value); }
  bool number_integer(number_integer_t value) override { return Add(value); }
  bool number_unsigned(number_unsigned_t value) override { return Add(value); }
  bool number_float(number_float_t value, const string_t&) override { return Add(value); }
  bool string(string_t& value) override { return Add(std::move(value)); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return Open(Json::object()); }
  bool end_object() override { return Close(); }
  bool start_array(std::size_t) override { return Open(Json::array()); }
  bool end_array() override { return Close(); }

  bool key(string_t& value) override {
    if (!open_.back().keys.insert(value).second) {
      return Refuse(ErrorCode::kCorrupt, "the key \"" + value + "\" stands twice");
    }
    key_ = std::move(value);
    return true;
  }

  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    error_ = Error{ErrorCode::kCorrupt, "malformed JSON"}.At(position);
    return false;
  }

  Json root;
  const Error& error() const { return error_; }

 private:
  struct Level {
    Json* container;
    std::unordered_set<std::string> keys = {};
  };

  bool Refuse(ErrorCode code, std::string message) {
    error_ = Error{code, std::move(message)};
    return false;
  }

  Json* Place(Json value) {
    if (open_.empty()) return &(root = std::move(value));
    Json& top = *open_.back().container;
    if (top.is_array()) return &top.get_ref<Json::array_t&>().emplace_back(std::move(value));
    // Not operator[], which searches the object from its start; duplicates are known already.
    Json::object_t::Container& members = top.get_ref<Json::object_t&>();
    return &members.emplace_back(std::move(key_), std::move(value)).second;
  }

  bool Add(Json value) {
    Place(std::move(value));
    return true;
  }

  bool Open(Json container) {
    if (open_.size() >= kMaxConfigDepth) {
      return Refuse(ErrorCode::kLimitExceeded,
                    "nested deeper than " + std::to_string(kMaxConfigDepth) + " levels");
    }
    open_.push_back({Place(std::move(container))});
    return true;
  }

  bool Close() {
    open_.pop_back();
    return true;
  }

  std::vector<Level> open_;
  std::string key_;
  Error error_ = {ErrorCode::kCorrupt, "malformed JSON"};
};

}  // namespace

Result<Json> ParseConfigJson(std::string_view text) {
  if (text.size() > kMaxConfigBytes) {
    return Fail(ErrorCode::kLimitExceeded, "longer than " + std::to_string(kMaxConfigBytes) +
                                               " bytes: " + std::to_string(text.size()));
  }
  StrictBuilder builder;
  if (!Json::sax_parse(MarkPythonLiterals(text), &builder)) return Fail(builder.error());
  return std::move(builder.root);
}

std::string DumpConfigJson(const Json& json) {
  const std::string marked = json.dump(-1, ' ', /*ensure_ascii=*/true);
  const std::string_view opening = "\"\\u0001";
  std::string text;
  std::size_t copied = 0;
  for (std::size_t at = marked.find(opening); at != std::string::npos;
       at = marked.find(opening, at + 1)) {
    for (const std::string_view literal : kLiterals) {
      const std::string_view rest = std::string_view(marked).substr(at + opening.size());
      if (!rest.starts_with(literal) || !rest.substr(literal.size()).starts_with('"')) continue;
      text.append(marked, copied, at - copied).append(literal);
      copied = at + opening.size() + literal.size() + 1;
    }
  }
  return text.append(marked, copied);
}

const Json* Find(const Json& json, std::string_view key) {
  if (!json.is_object()) return nullptr;
  const Json::object_t& members = json.get_ref<const Json::object_t&>();
  for (const auto& [name, value] : members) {
    if (name == key) return &value;
  }
  return nullptr;
}

Json* Find(Json& json, std::string_view key) {
  return const_cast<Json*>(Find(std::as_const(json), key));
}

bool Contains(std::span<const std::string_view> names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool IsAbsent(const Json& value) {
  if (value.is_array()) return std::all_of(value.begin(), value.end(), IsAbsent);
  return value.is_null() || (value.is_boolean() && !value.get<bool>());
}

}  // namespace ckpt::formats::keras
