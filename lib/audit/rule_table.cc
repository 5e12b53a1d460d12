#include "audit/rule_table.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <string>

#include "audit/rule_rows.h"
#include "audit/wording.h"

namespace ckpt::audit {
namespace {

constexpr std::size_t kColumns = 80;

// Appends `paragraph`, broken at spaces; lines after the first start with `indent`.
void AppendWrapped(std::string& text, std::string_view paragraph, std::string_view indent) {
  std::size_t column = 0;
  while (!paragraph.empty()) {
    const std::string_view word = paragraph.substr(0, paragraph.find(' '));
    paragraph.remove_prefix(std::min(word.size() + 1, paragraph.size()));
    if (column != 0 && column + 1 + word.size() > kColumns) {
      text += '\n';
      text += indent;
      column = indent.size();
    } else if (column != 0) {
      text += ' ';
      ++column;
    }
    text += word;
    column += word.size();
  }
  text += '\n';
}

// "over 459 batches (0.99^459 = 1 %)": updates until the initial value weighs 1 %.
std::string UpdatesInWords(std::optional<double> decay) {
  if (!decay) {
    return "over ln(0.01) / ln(decay) batches or more, 459 at 0.99 and 44 at 0.9, until the "
           "initial "
           "values weigh 1 %";
  }
  const double updates = std::ceil(std::log(0.01) / std::log(*decay));
  return "over " + Number(updates) + " batches or more, until the initial values weigh 1 % (" +
         Number(*decay) + "^" + Number(updates) + ")";
}

std::string WithUpdates(std::string_view fix, std::optional<double> decay) {
  const std::size_t at = fix.find(kUpdatesMark);
  if (at == std::string_view::npos) return std::string(fix);
  return std::string(fix.substr(0, at)) + UpdatesInWords(decay) +
         std::string(fix.substr(at + kUpdatesMark.size()));
}

std::string TextOf(const RuleRow& row) {
  std::string text;
  AppendWrapped(text, row.meaning, "");
  text += '\n';
  AppendWrapped(text, "Why it matters: " + std::string(row.why), "");
  text += '\n';
  AppendWrapped(text, "What to do: " + WithUpdates(row.fix, {}), "");
  const auto bullet = [&](std::string_view framework, std::string_view fix) {
    if (fix.empty()) return;
    AppendWrapped(text, "- " + std::string(framework) + ": " + WithUpdates(fix, {}), "  ");
  };
  if (!row.fix_tensorflow.empty() || !row.fix_keras.empty() || !row.fix_pytorch.empty()) {
    text += '\n';
  }
  bullet("TensorFlow 1", row.fix_tensorflow);
  bullet("Keras", row.fix_keras);
  bullet("PyTorch", row.fix_pytorch);
  return text;
}

struct Table {
  std::deque<std::string> texts;  // a deque, so that the views below stay valid
  std::vector<Rule> rules;
};

const Table& BuiltTable() {
  static const Table table = [] {
    Table built;
    for (const RuleRow& row : RuleRows()) {
      const std::string& text = built.texts.emplace_back(TextOf(row));
      built.rules.push_back({row.id, row.name, row.severity, row.summary, text, row.in_conversion,
                             row.needs, row.remedy});
    }
    return built;
  }();
  return table;
}

}  // namespace

const Rule& RuleOf(RuleIndex index) { return BuiltTable().rules[static_cast<std::size_t>(index)]; }

std::string FixOf(RuleIndex index, std::optional<Framework> framework,
                  std::optional<double> decay) {
  const RuleRow& row = RuleRows()[static_cast<std::size_t>(index)];
  std::string_view fix;
  if (framework == Framework::kTensorFlow) fix = row.fix_tensorflow;
  if (framework == Framework::kKeras) fix = row.fix_keras;
  if (framework == Framework::kPyTorch) fix = row.fix_pytorch;
  return WithUpdates(fix.empty() ? row.fix : fix, decay);
}

}  // namespace ckpt::audit

namespace ckpt {

std::string_view Name(Severity severity) noexcept {
  switch (severity) {
    case Severity::kInfo:
      return "info";
    case Severity::kWarning:
      return "warning";
    case Severity::kError:
      return "error";
  }
  return "info";
}

std::string_view Name(InConversion what) noexcept {
  switch (what) {
    case InConversion::kStops:
      return "stops";
    case InConversion::kCloses:
      return "closed";
    case InConversion::kStaysBehind:
      return "stays behind";
    case InConversion::kPasses:
      break;
  }
  return "";
}

std::span<const Rule> Rules() noexcept { return audit::BuiltTable().rules; }

const Rule* FindRule(std::string_view id_or_name) noexcept {
  // In any case of letters.
  const auto lower = [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  };
  const auto is = [&](std::string_view word) {
    return std::equal(word.begin(), word.end(), id_or_name.begin(), id_or_name.end(),
                      [&](char x, char y) { return lower(x) == lower(y); });
  };
  for (const Rule& rule : Rules()) {
    if (is(rule.id) || is(rule.name)) return &rule;
  }
  return nullptr;
}

}  // namespace ckpt
