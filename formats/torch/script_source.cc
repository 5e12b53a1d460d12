#include "formats/torch/script_source.h"

#include <algorithm>
#include <cctype>
#include <utility>

#include "formats/encoding/blanks.h"
#include "formats/torch/pickle_text.h"

namespace ckpt::formats {
namespace {

constexpr std::string_view kClass = "class ";
constexpr std::string_view kFinal = " : Final[";
constexpr std::string_view kOperators = "torch.";
constexpr std::size_t kMaxLiteral = 256;
constexpr std::size_t kMaxArguments = 32;  // of a call that is recorded

bool IsNameCharacter(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.';
}

// "1, 2, " between the brackets.
std::optional<std::vector<std::int64_t>> Integers(std::string_view text) {
  std::vector<std::int64_t> numbers;
  while (!Trimmed(text).empty()) {
    const std::size_t comma = text.find(',');
    const auto number = ParseDecimal(Trimmed(text.substr(0, comma)));
    if (!number) return std::nullopt;
    numbers.push_back(*number);
    if (comma == std::string_view::npos) break;
    text.remove_prefix(comma + 1);
  }
  return numbers;
}

// The strings of `["weight", "bias", ]`.
void AddNames(std::string_view text, std::set<std::string, std::less<>>& names) {
  while (true) {
    const std::size_t open = text.find('"');
    if (open == std::string_view::npos) return;
    const std::size_t close = text.find('"', open + 1);
    if (close == std::string_view::npos) return;
    names.emplace(text.substr(open + 1, close - open - 1));
    text.remove_prefix(close + 1);
  }
}

// One line of a class's body: an attribute or a list of names.
void ReadDeclaration(std::string_view line, ScriptClass& result) {
  line = Trimmed(line);
  if (line.starts_with("__parameters__ =")) return AddNames(line, result.parameters);
  if (line.starts_with("__buffers__ =")) return AddNames(line, result.buffers);
  const std::size_t type = line.find(kFinal), value = line.find("] = ");
  if (type == std::string_view::npos || value == std::string_view::npos || value < type) return;
  if (auto literal = ParseScriptLiteral(line.substr(value + 4))) {
    result.constants.insert_or_assign(std::string(line.substr(0, type)), *std::move(literal));
  }
}

// Finds calls of operators in one pass over the text, however deep they are nested.
class CallScanner {
 public:
  explicit CallScanner(std::string_view text) : text_(text) {}

  std::vector<RecordedCall> Scan() {
    for (at_ = 0; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (c == '"' || c == '\'') {
        SkipString(c);
      } else if (c == '(' || c == '[') {
        open_.push_back({c == '(' ? NameBefore(at_) : std::string_view(), at_ + 1, {}});
      } else if (c == ',' && !open_.empty()) {
        TakeArgument();
        open_.back().start = at_ + 1;
      } else if ((c == ')' || c == ']') && !open_.empty()) {
        Close();
      }
    }
    return std::move(calls_);
  }

 private:
  struct Open {
    std::string_view name;  // empty: no operator's
    std::size_t start;      // of the argument that is read
    std::vector<std::optional<RecordedValue>> arguments;
  };

  void SkipString(char quote) {
    for (++at_; at_ < text_.size() && text_[at_] != quote; ++at_) {
      if (text_[at_] == '\\') ++at_;
    }
  }

  std::string_view NameBefore(std::size_t end) const {
    std::size_t start = end;
    while (start > 0 && IsNameCharacter(text_[start - 1])) --start;
    const std::string_view name = text_.substr(start, end - start);
    return name.starts_with(kOperators) ? name : std::string_view();
  }

  void TakeArgument() {
    Open& call = open_.back();
    if (call.name.empty()) return;
    if (call.arguments.size() > kMaxArguments) return;
    call.arguments.push_back(ParseScriptLiteral(text_.substr(call.start, at_ - call.start)));
  }

  void Close() {
    // The printer puts a comma behind the last argument of some calls.
    if (!Trimmed(text_.substr(open_.back().start, at_ - open_.back().start)).empty()) {
      TakeArgument();
    }
    Open call = std::move(open_.back());
    open_.pop_back();
    bool literal = false;
    for (const auto& argument : call.arguments) literal = literal || argument.has_value();
    if (!literal || call.arguments.size() > kMaxArguments) return;
    calls_.push_back({std::string(call.name), std::move(call.arguments)});
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::vector<Open> open_;
  std::vector<RecordedCall> calls_;
};

ScriptClass ReadBody(std::string_view body) {
  ScriptClass result;
  const std::size_t methods = std::min(body.find("\n  def "), body.size());
  std::string_view declarations = body.substr(0, methods);
  while (!declarations.empty()) {
    const std::size_t end = declarations.find('\n');
    ReadDeclaration(declarations.substr(0, end), result);
    if (end == std::string_view::npos) break;
    declarations.remove_prefix(end + 1);
  }
  result.calls = CallScanner(body.substr(methods)).Scan();
  return result;
}

// The start of the next line that begins with `word`; the text's size where there is none.
std::size_t NextLine(std::string_view text, std::size_t from, std::string_view word) {
  while (from < text.size()) {
    if (text.substr(from).starts_with(word)) return from;
    const std::size_t end = text.find('\n', from);
    if (end == std::string_view::npos) return text.size();
    from = end + 1;
  }
  return text.size();
}

}  // namespace

std::optional<RecordedValue> ParseScriptLiteral(std::string_view text) {
  text = Trimmed(text);
  if (text.empty() || text.size() > kMaxLiteral) return std::nullopt;
  if (text == "None") return RecordedValue{};
  if (text == "True" || text == "False") return RecordedValue{text == "True"};
  if (text.front() == '"' || text.front() == '\'') {
    auto string = ParseStringLiteral(text);
    if (!string) return std::nullopt;
    return RecordedValue{*std::move(string)};
  }
  const bool list =
      (text.front() == '[' && text.back() == ']') || (text.front() == '(' && text.back() == ')');
  if (list && text.size() >= 2) {
    auto numbers = Integers(text.substr(1, text.size() - 2));
    if (!numbers) return std::nullopt;
    return RecordedValue{*std::move(numbers)};
  }
  if (const auto integer = ParseDecimal(text)) return RecordedValue{*integer};
  if (text.front() != '-' && !std::isdigit(static_cast<unsigned char>(text.front()))) {
    return std::nullopt;  // a name; from_chars takes "inf" and "nan"
  }
  if (const auto real = ParseReal(text)) return RecordedValue{*real};
  return std::nullopt;
}

ScriptClasses ReadScriptClasses(std::string_view source) {
  ScriptClasses classes;
  std::size_t start = NextLine(source, 0, kClass);
  while (start < source.size()) {
    const std::size_t name = start + kClass.size();
    const std::size_t end = NextLine(source, name, kClass);
    const std::size_t paren = source.find('(', name);
    // Functions behind the class begin at the margin as well; what they call is not the class's.
    const std::size_t body_end = std::min(end, NextLine(source, name, "def "));
    if (paren < body_end) {
      classes.insert_or_assign(std::string(source.substr(name, paren - name)),
                               ReadBody(source.substr(paren, body_end - paren)));
    }
    start = end;
  }
  return classes;
}

}  // namespace ckpt::formats
