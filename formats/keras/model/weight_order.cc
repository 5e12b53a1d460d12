#include "formats/keras/model/weight_order.h"

#include <utility>

#include "formats/keras/model/tab_separated.h"

namespace ckpt::formats::keras {
namespace {

using Kind = WeightGroup::Kind;

constexpr std::pair<Kind, std::string_view> kKinds[] = {{Kind::kLayer, "layer"},
                                                        {Kind::kTopLevel, "top_level"},
                                                        {Kind::kOptimizer, "optimizer"},
                                                        {Kind::kOther, "other"}};

// False for a line of another form.
bool AddLine(const std::vector<std::string_view>& fields, WeightOrder& order) {
  if (!order.groups.empty() && fields.size() == 3 && fields[0] == "weight") {
    order.groups.back().weights.push_back({Unescaped(fields[1]), Unescaped(fields[2])});
    return true;
  }
  for (const auto& [kind, word] : kKinds) {
    if (fields[0] != word || fields.size() != (kind == Kind::kLayer ? 2 : 1)) continue;
    order.groups.push_back({kind, kind == Kind::kLayer ? Unescaped(fields[1]) : ""});
    return true;
  }
  return false;
}

}  // namespace

std::string WeightOrderText(const WeightOrder& order) {
  std::string text;
  for (const WeightGroup& group : order.groups) {
    for (const auto& [kind, word] : kKinds) {
      if (kind == group.kind) text += word;
    }
    if (group.kind == Kind::kLayer) text += "\t" + Escaped(group.layer);
    text += "\n";
    for (const WeightEntry& weight : group.weights) {
      text += "weight\t" + Escaped(weight.tensor) + "\t" + Escaped(weight.stored) + "\n";
    }
  }
  return text;
}

Result<WeightOrder> ParseWeightOrder(std::string_view text) {
  WeightOrder order;
  if (text.empty()) return order;
  if (text.ends_with('\n')) text.remove_suffix(1);
  std::size_t number = 0;
  for (const std::string_view line : Fields(text, '\n')) {
    ++number;
    if (!AddLine(Fields(line, '\t'), order)) {
      return Fail(ErrorCode::kCorrupt, std::string(kWeightOrderDocument) + ": line " +
                                           std::to_string(number) + " is of no known form");
    }
  }
  return order;
}

}  // namespace ckpt::formats::keras
