// The rows that the rule table, the advice in findings and docs/rules.md are made from.
#pragma once

#include <span>
#include <string_view>

#include "ckpt/audit.h"

namespace ckpt::audit {

// In a fix: how many updates of a moving average leave its initial value 1 %.
inline constexpr std::string_view kUpdatesMark = "{updates}";

struct RuleRow {
  std::string_view id, name;
  Severity severity;
  InConversion in_conversion;
  std::string_view summary;  // one line
  std::string_view meaning;  // what the rule saw, and how it tells
  std::string_view why;      // what it does to serving
  std::string_view fix;      // in any framework; the next three say it in that framework's words
  std::string_view fix_tensorflow = {}, fix_keras = {}, fix_pytorch = {};
  Setting needs = Setting::kNone;
  Remedy remedy = Remedy::kNone;
};

std::span<const RuleRow> RuleRows() noexcept;  // in the order of RuleIndex

}  // namespace ckpt::audit
