// Text for people: the form of a terminal.
#include <utility>

#include "cli/report/remarks.h"
#include "cli/report/text_pieces.h"

namespace ckpt::cli {

std::string Painted(std::string_view text, std::string_view color, const Style& style) {
  return std::string(color) + std::string(text) + std::string(style.reset);
}

std::string Heading(const InputReport& input, const Style& style) {
  return Painted(EscapeForDisplay(input.path), style.bold, style);
}

std::string Preamble(const InputReport& input) {
  std::string out;
  if (input.manifest->resolved != input.path)
    out += "  resolved to " + EscapeForDisplay(input.manifest->resolved) + "\n";
  for (const std::string& note : input.notes) out += "  " + EscapeForDisplay(note) + "\n";
  return out;
}

namespace {

class TextForm : public Form {
 public:
  explicit TextForm(const FormOptions& options) : style_(options.style), quiet_(options.quiet) {}

  std::string Add(const InspectedInput& inspected) override {
    const bool first = std::exchange(first_, false);
    return (first ? "" : "\n") + ToText(inspected, style_);
  }
  std::string End(const InspectSummary& summary) override { return ToText(summary.not_read); }
  std::string Add(const AuditedInput& audited) override {
    if (quiet_ && audited.input.opened() && audited.findings.empty()) return {};
    return ToText(audited, style_);
  }
  std::string End(const AuditSummary& summary) override {
    const auto& [errors, warnings, infos] = summary.counts;
    if (quiet_ && errors + warnings + infos == 0) {
      std::string out;
      for (const Remark& remark : RemarksOf(summary)) {
        if (remark.matters) out += remark.text + "\n";
      }
      return out + ToText(summary.not_read);
    }
    return ToText(summary);
  }
  std::string Add(const Conversion& conversion) override {
    return quiet_ ? std::string() : ToText(conversion, style_);
  }
  std::string Add(const Comparison& comparison) override {
    if (!comparison.diff || (quiet_ && comparison.diff->within_tolerance)) return {};
    return ToText(comparison, style_);
  }
  std::string Add(const VerifiedPair& verified) override {
    const bool same =
        verified.verification && (verified.verification->verdict == Verdict::kSame ||
                                  verified.verification->verdict == Verdict::kSameUpToRounding);
    return quiet_ && same ? std::string() : ToText(verified, style_);
  }
  std::string Add(const RuleList& rules) override { return ToText(rules, style_); }

 private:
  Style style_;
  bool quiet_;
  bool first_ = true;
};

}  // namespace

std::unique_ptr<Form> MakeTextForm(const FormOptions& options) {
  return std::make_unique<TextForm>(options);
}

}  // namespace ckpt::cli
