#include "cli/report/advice.h"
#include "cli/report/text_pieces.h"
#include "cli/report/text_table.h"

namespace ckpt::cli {
namespace {

std::string InWords(InConversion what) {
  switch (what) {
    case InConversion::kStops:
      return ", stops a conversion";
    case InConversion::kCloses:
      return ", closed by a conversion";
    case InConversion::kStaysBehind:
      return ", of what a conversion leaves behind";
    case InConversion::kPasses:
      break;
  }
  return "";
}

std::string InFull(const Rule& rule, const Style& style) {
  return Painted(std::string(rule.id) + " " + std::string(rule.name), style.bold, style) + " (" +
         std::string(Name(rule.severity)) + InWords(rule.in_conversion) + ")\n" +
         std::string(rule.summary) + "\n\n" + TextOf(rule);
}

}  // namespace

std::string ToText(const RuleList& list, const Style& style) {
  if (list.in_full) return InFull(*list.rules.front(), style);
  TextTable table("");
  for (const Rule* rule : list.rules) {
    table.AddRow({std::string(rule->id), std::string(Name(rule->severity)), std::string(rule->name),
                  std::string(rule->summary)});
  }
  return table.ToString();
}

}  // namespace ckpt::cli
