// ckpt audit: is a checkpoint ready for serving?
#include <algorithm>
#include <new>
#include <optional>
#include <utility>

#include "ckpt/audit.h"
#include "cli/calibration_data.h"
#include "cli/command.h"
#include "cli/fail_on.h"
#include "cli/input_pass.h"
#include "cli/policy/audit_policy.h"
#include "cli/policy/path_glob.h"
#include "cli/progress.h"
#include "cli/reporter.h"
#include "cli/resume/audit_journal.h"
#include "cli/resume/options_in_words.h"
#include "cli/runnable_input.h"

namespace ckpt::cli {
namespace {

struct AuditedOne {
  std::string path;
  std::shared_ptr<const formats::FilesRead> read = {};  // for this input
  Result<OpenedInput> opened = Fail(ErrorCode::kInternal, "not opened");
  AuditResult audit = {};
  std::string compared_with = {};  // the older checkpoint, if one was looked at
  std::optional<DriftReport> data = {};
  std::vector<LayerProfile> profiles = {};
};

AuditedInput AuditedInputOf(const AuditedOne& outcome, const std::string& options) {
  AuditedInput report{ReportOf(outcome.path, outcome.opened),
                      outcome.audit.findings,
                      outcome.audit.read_all,
                      outcome.compared_with,
                      outcome.data,
                      outcome.profiles};
  if (outcome.audit.error) report.input.error = outcome.audit.error;
  if (outcome.read != nullptr) report.files = outcome.read->Stamps();
  report.options = options;
  return report;
}

class AuditCommand : public Command {
 public:
  void Setup(Arguments& app) override {
    AddFailOnOption(app, fail_on_);
    app.add_option("--since", since_,
                   "An older checkpoint of the same run, to compare the statistics with")
        ->type_name("OLDER");
    app.add_option("--parents", parents_,
                   "The checkpoints that the input was merged of (averaged, added up): are its "
                   "statistics its own?")
        ->type_name("FILE");
    app.add_option("--graph", graph_,
                   "A file whose model graph is evidence for an input without one")
        ->type_name("FILE");
    AddAnalysisOptions(app, analysis_, "layers");
    AddDataOptions(app);
    app.add_flag("--checksums", audit_.all_data,
                 "Read all data: check every checksum, look for NaN everywhere");
    app.add_option("--rule", audit_.only_rules, "Apply only this rule (may be repeated)")
        ->allow_extra_args(false)
        ->type_name("ID");
    app.add_option("--no-rule", audit_.without_rules, "Leave this rule out (may be repeated)")
        ->allow_extra_args(false)
        ->type_name("ID");
    policy_.AddOptions(app);
    app.add_option("--resume", resume_,
                   "Append a record of each input to FILE as soon as it is audited, and leave out "
                   "those whose record there still holds")
        ->type_name("FILE");
    AddInputOptions(app, options_, &inputs_);
    AddReportOptions(app, CommandId::kAudit, options_);
  }

  ExitCode Run() override {
    if (Status status = CheckCommonOptions(options_); !status) return Complain(status.error());
    if (Status status = Settings(); !status) return Complain(status.error());
    auto inputs = CollectInputs(options_, inputs_);
    if (!inputs) return Complain(inputs.error());
    not_read_ = std::move(inputs->not_read);
    if (Status status = OpenParents(); !status) return Complain(status.error());
    options_in_words_ = OptionsInWords();
    auto reporter = OpenReporter(options_, policy_.writes_baseline() ? std::nullopt : FailsOn());
    if (!reporter) return Complain(reporter.error());
    if (Status status = GoOn(inputs->paths, *reporter); !status) return Complain(status.error());
    ExitCode worst = ExitCode::kClean;
    if (Status status = Report(inputs->paths, *reporter, worst); !status)
      return Complain(status.error());
    return worst;
  }

 private:
  std::optional<Severity> FailsOn() const {
    return cli::FailsOn(fail_on_.value_or(static_cast<int>(Severity::kWarning)));
  }

  // What the command line leaves open is as ckpt.toml has it.
  void TakeFrom(const AuditConfig& config) {
    if (!fail_on_ && config.fail_on)
      fail_on_ = *config.fail_on ? static_cast<int>(**config.fail_on) : kNeverFails;
    if (!analysis_.epsilon) analysis_.epsilon = config.epsilon;
    if (!analysis_.momentum) analysis_.momentum = config.momentum;
    if (config.checksums.value_or(false)) audit_.all_data = true;
    if (!max_operations_) max_operations_ = config.max_operations;
  }

  Status Settings() {
    for (auto* list : {&audit_.only_rules, &audit_.without_rules}) {
      for (std::string& id : *list) {
        const Rule* rule = FindRule(id);
        if (rule == nullptr) return Fail(ErrorCode::kInvalidArgument, NoSuchRule(id));
        id = rule->id;
      }
    }
    CKPT_RETURN_IF_ERROR(policy_.ReadConfig(options_));
    if (policy_.config() != nullptr) TakeFrom(*policy_.config());
    if (options_.memory > 0) budget_.memory_bytes = options_.memory;
    if (max_operations_) budget_.operations = *max_operations_;
    AuditScope scope{{}, audit_.only_rules, audit_.without_rules};
    if (audit_.all_data) scope.looked_at.emplace_back("checksums");
    if (!data_.files.empty() || !data_.inputs.empty()) scope.looked_at.emplace_back("data");
    if (!since_.empty()) scope.looked_at.emplace_back("since");
    if (!parents_.empty()) scope.looked_at.emplace_back("parents");
    CKPT_RETURN_IF_ERROR(policy_.ReadBaseline(options_, scope, FailsOn()));
    return CheckResume();
  }

  // Which entries of a baseline are stale is not to be said of inputs that are left out.
  Status CheckResume() const {
    if (resume_.empty()) return {};
    if (policy_.has_baseline())
      return Fail(ErrorCode::kInvalidArgument, "--resume: an audit with a baseline looks at all");
    for (const std::string& report : ReportPathsOf(options_)) {
      if (PlaceOf(report) == PlaceOf(resume_))
        return Fail(ErrorCode::kInvalidArgument, "--resume: a report is to go to the same file");
    }
    return {};
  }

  // All of the command line and ckpt.toml that a finding may depend on. The files that --since,
  // --graph and --data name are among those that are read for an input.
  std::string OptionsInWords() const {
    cli::OptionsInWords words;
    words.Add("--checksums", audit_.all_data).Add("--from", options_.from);
    words.Add("--epsilon", analysis_.epsilon).Add("--momentum", analysis_.momentum);
    words.Add("--rule", audit_.only_rules).Add("--no-rule", audit_.without_rules);
    words.Add("--graph", graph_).Add("--since", since_).AddFiles("--parents", parents_);
    words.Add("--data", data_.files).Add("--data-input", data_.inputs);
    if (options_.memory > 0) words.Add("--memory", std::to_string(options_.memory));
    if (max_operations_) words.Add("--max-operations", std::to_string(*max_operations_));
    if (policy_.config() != nullptr) words.AddFiles("--config", {policy_.config()->path});
    return words.text();
  }

  // With --resume.
  Status GoOn(const std::vector<std::string>& inputs, Reporter& reporter) {
    recorded_.resize(inputs.size());
    if (resume_.empty()) return {};
    CKPT_ASSIGN_OR_RETURN(AuditJournal journal,
                          OpenAuditJournal(resume_, inputs, options_in_words_));
    recorded_ = std::move(journal.entries);
    reporter.AddChannel({MakeRecordsForm({}), std::move(journal.sink)});
    return {};
  }

  void AddDataOptions(Arguments& app) {
    app.add_option("--data", data_.files,
                   "Examples: .npz by the inputs' names, .npy for a lone input; the network is run "
                   "over them, and the statistics are compared with theirs")
        ->type_name("FILE");
    app.add_option("--data-input", data_.inputs, "The examples of one of several inputs")
        ->allow_extra_args(false)
        ->type_name("NAME=FILE");
    app.add_option("--max-operations", max_operations_,
                   "Multiplications and additions that a run over --data may take")
        ->check(Positive())
        ->type_name("N");
  }

  Status OpenParents() {
    for (const std::string& path : parents_) {
      CKPT_ASSIGN_OR_RETURN(auto parent, OpenBeside(path, options_));
      audit_.parents.push_back(parent.get());
      opened_parents_.push_back(std::move(parent));
    }
    return {};
  }

  AuditedOne AuditOne(const std::string& path) const {
    AuditedOne outcome{path, std::make_shared<const formats::FilesRead>(options_.read)};
    CommonOptions own = options_;
    own.read = outcome.read;
    outcome.opened = OpenInput(path, own, analysis_, graph_);
    if (!outcome.opened) return outcome;
    Result<std::unique_ptr<Checkpoint>> older =
        OpenOlder(*outcome.opened->checkpoint, own, outcome.compared_with);
    if (!older) {  // only a checkpoint that the user named: the others never change the outcome
      outcome.opened = Fail(older.error());
      return outcome;
    }
    if (audit_.all_data) AnnounceTensors(*outcome.opened->checkpoint);
    AuditOptions options = audit_;
    options.older = older->get();
    const ProgressCheckpoint counted(*outcome.opened->checkpoint, "audit",
                                     options_.quiet || !audit_.all_data);
    outcome.audit = Audit(counted, outcome.opened->analysis, options);
    if (Draws(options_)) {
      outcome.profiles = ProfileLayers(*outcome.opened->checkpoint, outcome.opened->analysis);
    }
    if (data_.files.empty() && data_.inputs.empty()) return outcome;
    Status compared = CompareWithData(outcome, own);
    if (!compared && !outcome.audit.error) outcome.audit.error = std::move(compared).error();
    return outcome;
  }

  // Its statistics beside those of the data.
  Status CompareWithData(AuditedOne& outcome, const CommonOptions& own) const {
    CKPT_ASSIGN_OR_RETURN(const RunnableInput input, OpenRunnable(outcome.path, own, graph_));
    CKPT_ASSIGN_OR_RETURN(CalibrationData data,
                          ReadCalibrationData(data_, input.network, own, budget_.memory_bytes));
    const Analysis& analysis = outcome.opened->analysis;
    Result<DataDrift> drift =
        MeasureDrift(input.network, *input.checkpoint, analysis, *data.examples, budget_);
    if (!drift) {
      Error error = std::move(drift).error();
      if (error.file.empty()) error.file = outcome.path;
      return Fail(std::move(error));
    }
    JudgeDrift(*input.checkpoint, analysis, *drift, audit_, outcome.audit);
    outcome.data = DriftReport{std::move(data.ranges), *std::move(drift)};
    return {};
  }

  // --since, else the oldest readable one of those that a state file or folder names; null if there
  // is none.
  Result<std::unique_ptr<Checkpoint>> OpenOlder(const Checkpoint& newer, const CommonOptions& own,
                                                std::string& name) const {
    if (!since_.empty()) {
      auto older = OpenBeside(since_, own);
      if (older) name = (*older)->manifest().resolved;
      return older;
    }
    for (const std::string& path : newer.input_name().older) {
      auto older = OpenBeside(path, own);
      if (!older || !(*older)->manifest().problems.empty()) continue;
      name = (*older)->manifest().resolved;
      return older;
    }
    return std::unique_ptr<Checkpoint>();
  }

  Status Report(const std::vector<std::string>& inputs, Reporter& reporter, ExitCode& worst) {
    std::vector<std::unique_ptr<AuditedOne>> outcomes(inputs.size());
    AuditSummary summary;
    policy_.Begin(summary);
    if (!resume_.empty()) summary.resumed = AuditSummary::Resumed{resume_};
    const auto work = [&](std::size_t i) {
      if (recorded_[i]) return;
      try {
        outcomes[i] = std::make_unique<AuditedOne>(AuditOne(inputs[i]));
      } catch (const std::bad_alloc&) {
        outcomes[i] = std::make_unique<AuditedOne>(AuditedOne{inputs[i]});
        outcomes[i]->opened = Fail(NotEnoughMemory(inputs[i]));
      }
    };
    const std::optional<Severity> fails_on = FailsOn();
    const auto emit = [&](std::size_t i) -> Status {
      if (recorded_[i]) {
        worst = std::max(worst, TakeOver(inputs[i], *recorded_[i], summary));
        return {};
      }
      const std::unique_ptr<AuditedOne> outcome = std::move(outcomes[i]);
      AuditedInput report = AuditedInputOf(*outcome, options_in_words_);
      policy_.Settle(report);
      if (report.input.error) worst = std::max(worst, Complain(*report.input.error));
      summary.Add(report);
      for (const Finding& finding : report.findings) {
        if (fails_on && finding.severity >= *fails_on && !policy_.writes_baseline())
          worst = std::max(worst, ExitCode::kFindings);
      }
      return reporter.Add(report);
    };
    CKPT_RETURN_IF_ERROR(ForEachInput(inputs.size(), options_.jobs, work, emit));
    summary.not_read = std::move(not_read_);
    Status written = policy_.End(options_, summary);
    Status reported = reporter.End(summary);
    return written ? reported : written;
  }

  // Counts what an earlier run found of an input.
  ExitCode TakeOver(const std::string& path, const AuditJournal::Entry& entry,
                    AuditSummary& summary) const {
    summary.Add(path, entry.state, entry.findings);
    ++summary.resumed->inputs;
    if (entry.state == InputState::kUnreadable) return ExitCodeFor(entry.error);
    const bool fails = FailsOn() && entry.Gravest() >= FailsOn();
    return fails ? ExitCode::kFindings : ExitCode::kClean;
  }

  CommonOptions options_;
  AuditPolicy policy_;
  AnalysisOptions analysis_;
  AuditOptions audit_;
  std::string since_, graph_, resume_;
  std::string options_in_words_;
  std::vector<std::optional<AuditJournal::Entry>> recorded_;  // of the inputs: --resume
  std::vector<std::string> parents_;
  std::vector<std::unique_ptr<Checkpoint>> opened_parents_;
  DataFiles data_;
  execution::Budget budget_;
  std::vector<std::string> inputs_;
  std::vector<NotRead> not_read_;
  std::optional<int> fail_on_;
  std::optional<std::uint64_t> max_operations_;
};

}  // namespace

std::unique_ptr<Command> MakeAudit() { return std::make_unique<AuditCommand>(); }

}  // namespace ckpt::cli
