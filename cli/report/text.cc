// Text for people: the form of a terminal.
#include <utility>

#include "cli/report/remarks.h"
#include "cli/report/text_pieces.h"
#include "cli/report/text_table.h"
#include "cli/report/wrapped_text.h"

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

std::string More(std::size_t listed, std::size_t all, const char* one) {
  if (listed >= all) return {};
  return "  and " + Plural(all - listed, one) + " more: -v lists all\n";
}

namespace {

class TextForm : public Form {
 public:
  explicit TextForm(const FormOptions& options) : options_(options) {
    // Who wants few words wants those that the exit code is about.
    if (options.quiet && !options.show) options_.show = options.fails_on;
  }

  std::string Add(const InspectedInput& inspected) override {
    const std::string text = ToText(inspected, options_);
    if (text.empty()) return {};
    const bool first = std::exchange(first_, false);
    return (first ? "" : "\n") + Broken(text);
  }
  std::string End(const InspectSummary& summary) override {
    return Broken(ToText(summary, options_));
  }
  std::string Add(const AuditedInput& audited) override {
    const bool said = HasListed(audited.findings, options_) || audited.input.error;
    any_ = any_ || said;
    return options_.quiet && !said ? std::string() : Broken(ToText(audited, options_));
  }
  std::string End(const AuditSummary& summary) override {
    if (options_.quiet && !any_)
      return Broken(WhatMatters(summary) + ToText(summary.not_read, options_));
    return Broken(ToText(summary, options_));
  }
  std::string Add(const Conversion& conversion) override {
    return options_.quiet ? std::string() : Broken(ToText(conversion, options_));
  }
  std::string Add(const Comparison& comparison) override {
    if (!comparison.diff || (options_.quiet && comparison.diff->within_tolerance)) return {};
    return Broken(ToText(comparison, options_));
  }
  std::string Add(const ReplicaComparison& all) override {
    return options_.quiet && all.report.groups <= 1 ? std::string() : Broken(ToText(all, options_));
  }
  std::string Add(const VerifiedPair& verified) override {
    const bool same =
        verified.verification && (verified.verification->verdict == Verdict::kSame ||
                                  verified.verification->verdict == Verdict::kSameUpToRounding);
    return options_.quiet && same ? std::string() : Broken(ToText(verified, options_.style));
  }
  std::string Add(const FollowedRun& run) override {
    const std::string text = ToText(run, options_);
    if (text.empty()) return {};
    const bool first = std::exchange(first_, false);
    return (first ? "" : "\n") + Broken(text);
  }
  std::string End(const TrendSummary& summary) override {
    if (!options_.quiet) return Broken(ToText(summary, options_));
    return Broken(WhatMatters(summary.policy) + ToText(summary.not_read, options_));
  }
  std::string Add(const RuleList& rules) override {
    const std::string text = ToText(rules, options_.style);
    return rules.in_full ? Rewrapped(text, options_.width) : Broken(text);
  }

 private:
  static std::string WhatMatters(const AuditSummary& summary) {
    std::string out;
    for (const Remark& remark : RemarksOf(summary)) {
      if (remark.matters) out += remark.text + "\n";
    }
    return out;
  }
  std::string Broken(const std::string& text) const { return Wrapped(text, options_.width); }

  FormOptions options_;
  bool first_ = true;
  bool any_ = false;  // there was something to say of an input
};

}  // namespace

std::unique_ptr<Form> MakeTextForm(const FormOptions& options) {
  return std::make_unique<TextForm>(options);
}

}  // namespace ckpt::cli
