#include "formats/keras/variables/variable_layout.h"

#include "formats/keras/model/tab_separated.h"

namespace ckpt::formats::keras {
namespace {

// False for a line of another form.
bool AddLine(const std::vector<std::string_view>& fields, VariableLayout& layout) {
  if (fields[0] == "group" && (fields.size() == 2 || fields.size() == 3)) {
    LayoutGroup& group = layout.groups.emplace_back();
    group.path = Unescaped(fields[1]);
    if (fields.size() == 3) group.name = Unescaped(fields[2]);
    return true;
  }
  if (fields[0] == "old_layers" && fields.size() == 2) {
    layout.old_layers = fields[1] == "twice" ? OldLayers::kCountedTwice : OldLayers::kCountedOnce;
    return fields[1] == "twice" || fields[1] == "once";
  }
  if (fields.size() != 3) return false;
  LayoutVariable variable{Unescaped(fields[1]), Unescaped(fields[2])};
  if (fields[0] == "variable" && !layout.groups.empty()) {
    layout.groups.back().variables.push_back(std::move(variable));
    return true;
  }
  if (fields[0] != "other") return false;
  layout.others.push_back(std::move(variable));
  return true;
}

std::string Line(std::string_view word, const LayoutVariable& variable) {
  return std::string(word) + "\t" + Escaped(variable.key) + "\t" + Escaped(variable.tensor) + "\n";
}

}  // namespace

std::string VariableLayoutText(const VariableLayout& layout) {
  std::string text;
  for (const LayoutGroup& group : layout.groups) {
    text += "group\t" + Escaped(group.path);
    if (group.name) text += "\t" + Escaped(*group.name);
    text += "\n";
    for (const LayoutVariable& variable : group.variables) text += Line("variable", variable);
  }
  for (const LayoutVariable& other : layout.others) text += Line("other", other);
  if (layout.old_layers != OldLayers::kNone) {
    text += layout.old_layers == OldLayers::kCountedTwice ? "old_layers\ttwice\n"
                                                          : "old_layers\tonce\n";
  }
  return text;
}

Result<VariableLayout> ParseVariableLayout(std::string_view text) {
  VariableLayout layout;
  if (text.empty()) return layout;
  if (text.ends_with('\n')) text.remove_suffix(1);
  std::size_t number = 0;
  for (const std::string_view line : Fields(text, '\n')) {
    ++number;
    if (!AddLine(Fields(line, '\t'), layout)) {
      return Fail(ErrorCode::kCorrupt, std::string(kVariableLayoutDocument) + ": line " +
                                           std::to_string(number) + " is of no known form");
    }
  }
  return layout;
}

}  // namespace ckpt::formats::keras
