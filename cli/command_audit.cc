// ckpt audit: is a checkpoint ready for serving?
#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>

#include "ckpt/audit.h"
#include "cli/choices.h"
#include "cli/command.h"
#include "cli/input_pass.h"
#include "cli/progress.h"
#include "cli/report_json.h"
#include "cli/report_sink.h"
#include "cli/text_table.h"

namespace ckpt::cli {
namespace {

struct Outcome {
  std::string path;
  Result<OpenedInput> opened = Fail(ErrorCode::kInternal, "not opened");
  AuditResult audit;
  std::string compared_with;  // the older checkpoint, if one was looked at
};

struct Counts {
  std::uint64_t errors = 0, warnings = 0, infos = 0;
  void Add(Severity severity) {
    ++(severity == Severity::kError ? errors : severity == Severity::kWarning ? warnings : infos);
  }
  Json ToJson() const { return {{"errors", errors}, {"warnings", warnings}, {"infos", infos}}; }
};

// The error of an input: it could not be opened, or damage was met while reading.
const Error* ErrorOf(const Outcome& outcome) {
  if (!outcome.opened) return &outcome.opened.error();
  return outcome.audit.error ? &*outcome.audit.error : nullptr;
}

Json HeadToJson(const Outcome& outcome) {
  Json json = {{"path", JsonText(outcome.path)}};
  const Checkpoint* checkpoint = outcome.opened ? outcome.opened->checkpoint.get() : nullptr;
  json["resolved"] = checkpoint ? JsonText(checkpoint->manifest().resolved) : Json(nullptr);
  json["notes"] = checkpoint ? JsonTexts(NotesOf(*checkpoint)) : Json::array();
  json["format"] = checkpoint ? Json(checkpoint->format()) : Json(nullptr);
  const Error* error = ErrorOf(outcome);
  json["status"] = error ? "error" : "ok";
  json["error"] = error ? JsonError(*error) : Json(nullptr);
  json["read"] = outcome.audit.read_all ? "all" : "batch-norm";
  if (!outcome.compared_with.empty()) json["compared_with"] = JsonText(outcome.compared_with);
  json["batch_norm"] = Json::array();
  if (checkpoint) {
    for (const BatchNorm& layer : outcome.opened->analysis.batch_norms) {
      json["batch_norm"].push_back(JsonBatchNorm(layer, checkpoint->manifest()));
    }
  }
  return json;
}

std::string ToText(const Outcome& outcome, const Style& style) {
  std::string out =
      std::string(style.bold) + EscapeForDisplay(outcome.path) + std::string(style.reset);
  if (!outcome.opened) {
    return out + ": " + std::string(style.red) + "error" + std::string(style.reset) + "\n  " +
           Describe(outcome.opened.error()) + "\n";
  }
  const Manifest& manifest = outcome.opened->checkpoint->manifest();
  out += ": " + std::string(outcome.opened->checkpoint->format()) + ", " +
         Plural(outcome.opened->analysis.batch_norms.size(), "batch norm") + ", read " +
         (outcome.audit.read_all ? "all data" : "the index and the batch-norm vectors") + "\n";
  if (manifest.resolved != outcome.path)
    out += "  resolved to " + EscapeForDisplay(manifest.resolved) + "\n";
  for (const std::string& note : NotesOf(*outcome.opened->checkpoint)) {
    out += "  " + EscapeForDisplay(note) + "\n";
  }
  if (!outcome.compared_with.empty())
    out += "  compared with " + EscapeForDisplay(outcome.compared_with) + "\n";
  for (const Finding& finding : outcome.audit.findings) {
    const std::string_view color = finding.severity == Severity::kError     ? style.red
                                   : finding.severity == Severity::kWarning ? style.yellow
                                                                            : style.dim;
    out += "  " + std::string(color) + std::string(Name(finding.severity)) +
           std::string(style.reset) + " " + std::string(finding.rule->id) + " " +
           std::string(finding.rule->name) + ": " + EscapeForDisplay(finding.subject) + "\n    " +
           EscapeForDisplay(finding.message) + "\n";
    if (!finding.fix.empty()) out += "    fix: " + EscapeForDisplay(finding.fix) + "\n";
  }
  if (outcome.audit.findings.empty() && !outcome.audit.error) {
    out += "  " + std::string(style.green) + "no findings" + std::string(style.reset) + "\n";
  }
  return out;
}

class Audit : public Command {
 public:
  void Setup(CLI::App& app) override {
    const std::map<std::string, int> thresholds = {
        {"error", static_cast<int>(Severity::kError)},
        {"warning", static_cast<int>(Severity::kWarning)},
        {"info", static_cast<int>(Severity::kInfo)},
        {"never", kNever}};
    app.add_option("--fail-on", fail_on_,
                   "Exit 1 on findings of this severity or a higher one: error, warning, "
                   "info or never (default warning)")
        ->transform(OneOf(thresholds))
        ->type_name("SEVERITY");
    app.add_option("--since", since_,
                   "An older checkpoint of the same run, to compare the statistics with")
        ->type_name("OLDER");
    app.add_option("--graph", graph_,
                   "A file whose model graph is evidence for an input without one")
        ->type_name("FILE");
    app.add_option("--epsilon", analysis_.epsilon,
                   "Epsilon of layers for which nothing records one")
        ->check(CLI::NonNegativeNumber)
        ->type_name("X");
    app.add_option("--momentum", analysis_.momentum,
                   "Decay of layers for which nothing records one (Keras' sense)")
        ->check(CLI::Range(0.0, 1.0))
        ->type_name("X");
    app.add_flag("--checksums", audit_.all_data,
                 "Read all data: check every checksum, look for NaN everywhere");
    app.add_option("--rule", audit_.only_rules, "Apply only this rule (may be repeated)")
        ->allow_extra_args(false)
        ->type_name("ID");
    app.add_option("--no-rule", audit_.without_rules, "Leave this rule out (may be repeated)")
        ->allow_extra_args(false)
        ->type_name("ID");
    AddInputOptions(app, options_, &inputs_);
    AddReportOptions(app, options_);
  }

  ExitCode Run() override {
    if (Status status = CheckCommonOptions(options_); !status) return Complain(status.error());
    for (const auto* list : {&audit_.only_rules, &audit_.without_rules}) {
      for (const std::string& id : *list) {
        if (FindRule(id) == nullptr) {
          return Complain({ErrorCode::kInvalidArgument,
                           "there is no rule \"" + id + "\"; `ckpt explain` lists them"});
        }
      }
    }
    auto inputs = CollectInputs(options_, inputs_);
    if (!inputs) return Complain(inputs.error());
    auto sink = OpenReport(options_);
    if (!sink) return Complain(sink.error());
    ExitCode worst = ExitCode::kClean;
    if (Status status = Report(*inputs, **sink, worst); !status) return Complain(status.error());
    return worst;
  }

 private:
  static constexpr int kNever = 100;

  Outcome AuditOne(const std::string& path) const {
    Outcome outcome{path, OpenInput(path, options_, analysis_, graph_), {}, {}};
    if (!outcome.opened) return outcome;
    Result<std::unique_ptr<Checkpoint>> older =
        OpenOlder(*outcome.opened->checkpoint, outcome.compared_with);
    if (!older) {  // only a checkpoint that the user named: the others never change the outcome
      outcome.opened = Fail(older.error());
      return outcome;
    }
    AuditOptions options = audit_;
    options.older = older->get();
    const ProgressCheckpoint counted(*outcome.opened->checkpoint, "audit",
                                     options_.quiet || !audit_.all_data);
    outcome.audit = ckpt::Audit(counted, outcome.opened->analysis, options);
    return outcome;
  }

  // --since, else the oldest readable one of those that a state file or folder names; null if there
  // is none.
  Result<std::unique_ptr<Checkpoint>> OpenOlder(const Checkpoint& newer, std::string& name) const {
    if (!since_.empty()) {
      auto older = formats::OpenCheckpoint(*options_.read, since_, OpenOptionsOf(options_));
      if (older) name = (*older)->manifest().resolved;
      return older;
    }
    for (const std::string& path : newer.input_name().older) {
      auto older = formats::OpenCheckpoint(*options_.read, path, OpenOptionsOf(options_));
      if (!older || !(*older)->manifest().problems.empty()) continue;
      name = (*older)->manifest().resolved;
      return older;
    }
    return std::unique_ptr<Checkpoint>();
  }

  Status Report(const std::vector<std::string>& inputs, ReportSink& sink, ExitCode& worst) {
    std::vector<Outcome> outcomes(inputs.size());
    const Style style = StyleFor(options_);
    Json all = Json::array();
    Counts counts;
    const auto work = [&](std::size_t i) { outcomes[i] = AuditOne(inputs[i]); };
    const auto emit = [&](std::size_t i) -> Status {
      const Outcome outcome = std::move(outcomes[i]);
      if (const Error* error = ErrorOf(outcome)) worst = std::max(worst, Complain(*error));
      for (const Finding& finding : outcome.audit.findings) {
        counts.Add(finding.severity);
        if (static_cast<int>(finding.severity) >= fail_on_)
          worst = std::max(worst, ExitCode::kFindings);
      }
      return Emit(outcome, style, all, sink);
    };
    CKPT_RETURN_IF_ERROR(ForEachInput(inputs.size(), options_.jobs, work, emit));
    CKPT_RETURN_IF_ERROR(Close(counts, std::move(all), sink, inputs.size()));
    return sink.Finish();
  }

  Status Emit(const Outcome& outcome, const Style& style, Json& all, ReportSink& sink) const {
    if (options_.format == ReportFormat::kText) {
      if (options_.quiet && outcome.opened && outcome.audit.findings.empty()) return {};
      return sink.Write(ToText(outcome, style));
    }
    Json head = HeadToJson(outcome);
    if (options_.format == ReportFormat::kJson) {
      head["findings"] = Json::array();
      for (const Finding& finding : outcome.audit.findings)
        head["findings"].push_back(JsonFinding(finding));
      all.push_back(std::move(head));
      return {};
    }
    Json line = {{"schema", "ckpt.audit/1"}, {"type", "input"}};
    line.update(head);
    std::string lines = Dump(line, false);
    for (const Finding& finding : outcome.audit.findings) {
      Json found = {
          {"schema", "ckpt.audit/1"}, {"type", "finding"}, {"path", JsonText(outcome.path)}};
      found.update(JsonFinding(finding));
      lines += Dump(found, false);
    }
    return sink.Write(lines);
  }

  Status Close(const Counts& counts, Json all, ReportSink& sink, std::size_t inputs) const {
    switch (options_.format) {
      case ReportFormat::kText:
        if (options_.quiet && counts.errors + counts.warnings + counts.infos == 0) return {};
        return sink.Write(Plural(counts.errors, "error") + ", " +
                          Plural(counts.warnings, "warning") + ", " + Plural(counts.infos, "note") +
                          "\n");
      case ReportFormat::kJson:
        return sink.Write(Dump(
            {{"schema", "ckpt.audit/1"}, {"inputs", std::move(all)}, {"summary", counts.ToJson()}},
            true));
      case ReportFormat::kJsonLines:
        return sink.Write(Dump({{"schema", "ckpt.audit/1"},
                                {"type", "summary"},
                                {"inputs", inputs},
                                {"summary", counts.ToJson()}},
                               false));
    }
    return {};
  }

  CommonOptions options_;
  AnalysisOptions analysis_;
  AuditOptions audit_;
  std::string since_, graph_;
  std::vector<std::string> inputs_;
  int fail_on_ = static_cast<int>(Severity::kWarning);
};

}  // namespace

std::unique_ptr<Command> MakeAudit() { return std::make_unique<Audit>(); }

}  // namespace ckpt::cli
