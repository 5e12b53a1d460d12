// A page for the browser: one file, no request, the data in it as JSON and a script that draws it.
#include <algorithm>
#include <set>
#include <string>

#include "cli/report/advice.h"
#include "cli/report/form.h"
#include "cli/report/issues.h"
#include "cli/report/page/held_inputs.h"
#include "cli/report/page/page_document.h"
#include "cli/report/page/page_values.h"
#include "cli/report/remarks.h"

namespace ckpt::cli {
namespace {

using page::Fitted;
using page::InScript;

constexpr std::size_t kRoom = 2'200'000;  // of what was found; the whole page stays below 3 MB
constexpr std::size_t kNotReadRoom = 100'000;
constexpr std::size_t kPlainText = 64 * 1024;  // for who runs no scripts

// A row of the list of inputs.
Json RowOf(const AuditedInput& audited) {
  SeverityCounts counts;
  for (const Finding& finding : audited.findings) counts.Add(finding.severity);
  Json row = page::HeadToJson(audited.input);
  row["state"] = Name(StateOf(audited));
  row["findings"] = {counts.errors, counts.warnings, counts.infos};
  return row;
}
Json RowOf(const InspectedInput& inspected) {
  Json row = page::HeadToJson(inspected.input);
  row["state"] = inspected.input.error ? "unreadable" : "ok";
  return row;
}

// The texts of the rules that were found broken.
Json RulesToJson(const std::set<const Rule*>& rules) {
  Json json = Json::object();
  for (const Rule* rule : rules) {
    json[std::string(rule->id)] = {
        {"name", rule->name}, {"summary", rule->summary}, {"text", TextOf(*rule)}};
  }
  return json;
}

class PageForm : public Form {
 public:
  explicit PageForm(const FormOptions& options) : plain_(MakeConciseForm(options)) {}

  std::string Add(const InspectedInput& inspected) override {
    plain_->Add(inspected);
    NoteName(inspected.input.path);
    inputs_.Add(inspected.input.error ? 1 : 0, RowOf(inspected),
                [&](std::size_t most) { return page::Piece(inspected, most); });
    return {};
  }
  std::string End(const InspectSummary& summary) override {
    return OfInputs("inspect", {{"command", "inspect"}}, summary.not_read, plain_->End(summary));
  }

  std::string Add(const AuditedInput& audited) override {
    plain_->Add(audited);
    NoteName(audited.input.path);
    for (const Finding& finding : audited.findings) rules_.insert(finding.rule);
    for (const KnownFinding& known : audited.known) rules_.insert(known.finding.rule);
    inputs_.Add(static_cast<int>(StateOf(audited)), RowOf(audited),
                [&](std::size_t most) { return page::Piece(audited, most); });
    return {};
  }
  std::string End(const AuditSummary& summary) override {
    Json head = {{"command", "audit"}};
    head["states"] = summary.states;
    head["rules"] = RulesToJson(rules_);
    head["remarks"] = Json::array();
    for (const Remark& remark : RemarksOf(summary)) head["remarks"].push_back(remark.text);
    return OfInputs("audit", std::move(head), summary.not_read, plain_->End(summary));
  }

  std::string Add(const FollowedRun& run) override {
    plain_->Add(run);
    NoteName(run.path);
    int rank = run.CountUnreadable() > 0 ? 1 : 0;
    for (const Finding& finding : run.trend.findings) {
      rules_.insert(finding.rule);
      rank = std::max(rank, 1 + static_cast<int>(finding.severity));
    }
    for (const KnownFinding& known : run.known) rules_.insert(known.finding.rule);
    inputs_.Add(rank, page::RowOf(run), [&](std::size_t most) { return page::Piece(run, most); });
    return {};
  }
  std::string End(const TrendSummary& summary) override {
    Json head = {{"command", "trend"}, {"rules", RulesToJson(rules_)}};
    head["remarks"] = Json::array();
    for (const Remark& remark : RemarksOf(summary.policy)) head["remarks"].push_back(remark.text);
    return OfInputs("trend", std::move(head), summary.not_read, plain_->End(summary));
  }

  std::string Add(const Conversion& conversion) override {
    const char* const command = conversion.calibration ? "calibrate" : "convert";
    return OfPiece(command, conversion.input + " to " + conversion.output, conversion);
  }
  std::string Add(const Comparison& comparison) override {
    return OfPiece("diff", comparison.a + " and " + comparison.b, comparison);
  }
  std::string Add(const VerifiedPair& verified) override {
    return OfPiece("verify", verified.a + " and " + verified.b, verified);
  }

 private:
  void NoteName(const std::string& path) {
    ++count_;
    if (count_ == 1) first_ = path;
  }

  static std::string Print(std::string title, std::string data, std::string plain) {
    if (plain.size() > kPlainText) {
      plain.resize(plain.find_last_of('\n', kPlainText - 1) + 1);
      plain += "and more\n";
    }
    return page::ToHtml({std::move(title), std::move(data), std::move(plain)});
  }

  std::string OfInputs(const char* command, Json head, const std::vector<NotRead>& not_read,
                       std::string plain) {
    head["inputs_left_out"] = inputs_.rows_left_out();
    std::string data = InScript(head);
    data.pop_back();  // the brace
    data += ",\"inputs\":" + inputs_.Take();
    data += ",\"not_read\":" +
            Fitted([&](std::size_t most) { return page::ToJson(not_read, most); }, kNotReadRoom) +
            "}";
    const char* const what = command == std::string_view("trend") ? " runs" : " files";
    const std::string of = count_ == 1 ? ForPeople(first_) : std::to_string(count_) + what;
    return Print("ckpt " + std::string(command) + ": " + of, std::move(data), std::move(plain));
  }

  template <typename Piece>
  std::string OfPiece(const char* command, const std::string& of, const Piece& piece) {
    Json head = {{"command", command}};
    std::string data = InScript(head);
    data.pop_back();
    const std::string detail =
        Fitted([&](std::size_t most) { return page::Piece(piece, most); }, kRoom);
    data += ",\"detail\":" + (detail.empty() ? "null" : detail) + "}";
    return Print("ckpt " + std::string(command) + ": " + ForPeople(of), std::move(data),
                 plain_->Add(piece));
  }

  std::unique_ptr<Form> plain_;
  page::HeldInputs inputs_{kRoom};
  std::set<const Rule*> rules_;
  std::uint64_t count_ = 0;
  std::string first_;
};

}  // namespace

std::unique_ptr<Form> MakePageForm(const FormOptions& options) {
  return std::make_unique<PageForm>(options);
}

}  // namespace ckpt::cli
