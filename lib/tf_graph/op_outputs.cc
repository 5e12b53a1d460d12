#include "ckpt/op_outputs.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

namespace ckpt {
namespace {

constexpr std::int32_t kReferences = 100;  // above the types that they refer to
constexpr std::uint32_t kMaxOutputs = 1u << 24;

struct Row {
  std::string_view op, outputs;
};
constexpr auto kRows = std::to_array<Row>({
#include "tf_graph/op_output_rows.inc"
});

std::string_view OutputsOf(std::string_view type) {
  const auto* const row = std::lower_bound(
      kRows.begin(), kRows.end(), type, [](const Row& a, std::string_view b) { return a.op < b; });
  return row == kRows.end() || row->op != type ? std::string_view() : row->outputs;
}

// Takes what stands before `separator` off the front, or all.
std::string_view TakeUpTo(char separator, std::string_view& text) {
  const std::size_t end = text.find(separator);
  const std::string_view taken = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return taken;
}

std::optional<std::int64_t> Number(std::string_view text) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::optional<std::uint32_t> Count(std::int64_t number) {
  if (number < 0 || number > kMaxOutputs) return std::nullopt;
  return static_cast<std::uint32_t>(number);
}

// An argument of a definition: "name:N*T", see the table.
class Argument {
 public:
  explicit Argument(std::string_view text) {
    name = TakeUpTo(':', text);
    if (text.find('*') != std::string_view::npos) count_ = TakeUpTo('*', text);
    type_ = text;
  }

  std::string_view name;

  // How many tensors it is; nothing where that is not recorded.
  std::optional<std::uint32_t> Size(const Op& op) const {
    if (type_.starts_with('[')) {
      const auto* list = List(op);
      // An empty list is one of numbers.
      const auto* empty = FindAttr<std::vector<std::int64_t>>(op, ListName());
      if (list == nullptr && (empty == nullptr || !empty->empty())) return std::nullopt;
      return list == nullptr ? 0 : Count(static_cast<std::int64_t>(list->size()));
    }
    if (count_.empty()) return 1;
    std::string_view fallback = count_;
    const std::string_view attr = TakeUpTo('=', fallback);
    const auto* recorded = FindAttr<std::int64_t>(op, attr);
    const auto number = recorded != nullptr ? std::optional(*recorded) : Number(fallback);
    return number ? Count(*number) : std::nullopt;
  }

  // The type of its tensor `index`.
  std::optional<OpDtype> Type(const Op& op, std::uint32_t index) const {
    std::int64_t number = 0;
    if (type_.starts_with('[')) {
      const auto* list = List(op);
      if (list == nullptr || index >= list->size()) return std::nullopt;
      number = (*list)[index].number;
    } else if (const auto fixed = Number(type_)) {
      number = *fixed;
    } else {
      std::string_view fallback = type_;
      const std::string_view attr = TakeUpTo('=', fallback);
      const auto* recorded = FindAttr<OpDtype>(op, attr);
      // What is recorded as something else (a name of the function's own) is not the default.
      if (recorded == nullptr && op.attrs.find(attr) != op.attrs.end()) return std::nullopt;
      number = recorded != nullptr ? recorded->number : Number(fallback).value_or(0);
    }
    if (number > kReferences) number -= kReferences;
    if (number <= 0 || number > std::numeric_limits<std::int32_t>::max()) return std::nullopt;
    return OpDtype{static_cast<std::int32_t>(number)};
  }

 private:
  std::string_view ListName() const { return type_.substr(1, type_.size() - 2); }
  const std::vector<OpDtype>* List(const Op& op) const {
    return FindAttr<std::vector<OpDtype>>(op, ListName());
  }

  std::string_view count_, type_;
};

}  // namespace

std::optional<OpDtype> OutputDtype(const Op& op, std::uint32_t output) {
  std::string_view outputs = OutputsOf(op.type);
  while (!outputs.empty()) {
    const Argument argument(TakeUpTo(',', outputs));
    const auto size = argument.Size(op);
    if (!size) return std::nullopt;
    if (output < *size) return argument.Type(op, output);
    output -= *size;
  }
  return std::nullopt;
}

std::optional<std::uint32_t> OutputPlace(const Op& op, std::string_view name) {
  std::string_view outputs = OutputsOf(op.type);
  std::uint32_t place = 0;
  while (!outputs.empty()) {
    const Argument argument(TakeUpTo(',', outputs));
    if (argument.name == name) return place;
    const auto size = argument.Size(op);
    if (!size || *size > kMaxOutputs - place) return std::nullopt;
    place += *size;
  }
  return std::nullopt;
}

}  // namespace ckpt
