// ckpt trend: the batch norms of a run over its checkpoints.
#include <algorithm>
#include <new>
#include <optional>

#include "ckpt/trend.h"
#include "cli/command.h"
#include "cli/fail_on.h"
#include "cli/input_pass.h"
#include "cli/policy/audit_policy.h"
#include "cli/reporter.h"
#include "cli/runs.h"

namespace ckpt::cli {
namespace {

class TrendCommand : public Command {
 public:
  void Setup(Arguments& app) override {
    AddFailOnOption(app, fail_on_);
    AddAnalysisOptions(app, analysis_, "layers");
    policy_.AddOptions(app);
    AddInputOptions(app, options_, &inputs_);
    AddReportOptions(app, CommandId::kTrend, options_);
  }

  ExitCode Run() override {
    if (Status status = CheckCommonOptions(options_); !status) return Complain(status.error());
    if (Status status = Settings(); !status) return Complain(status.error());
    auto inputs = NamedInputs(options_, inputs_);
    if (!inputs) return Complain(inputs.error());
    auto list = RunsOf(options_, *inputs);
    if (!list) return Complain(list.error());
    auto reporter = OpenReporter(options_, policy_.writes_baseline() ? std::nullopt : FailsOn());
    if (!reporter) return Complain(reporter.error());
    Status status = Report(*list, *reporter);
    return status ? worst_ : std::max(worst_, Complain(status.error()));
  }

 private:
  std::optional<Severity> FailsOn() const {
    return cli::FailsOn(fail_on_.value_or(static_cast<int>(Severity::kWarning)));
  }

  // What the command line leaves open is as ckpt.toml has it.
  Status Settings() {
    CKPT_RETURN_IF_ERROR(policy_.ReadConfig(options_));
    if (const AuditConfig* config = policy_.config()) {
      if (!fail_on_ && config->fail_on)
        fail_on_ = *config->fail_on ? static_cast<int>(**config->fail_on) : kNeverFails;
      if (!analysis_.epsilon) analysis_.epsilon = config->epsilon;
      if (!analysis_.momentum) analysis_.momentum = config->momentum;
    }
    // What a run shows no audit of one of its checkpoints can say to be gone, and the reverse.
    return policy_.ReadBaseline(options_, AuditScope{{"trend"}, {}, {}}, FailsOn());
  }

  FollowedRun Follow(const RunInput& input) {
    FollowedRun run{input.name};
    TrendBuilder builder;
    std::size_t followed = 0;
    for (const std::string& path : input.paths) {
      FollowedStep step{path, {}, NumberIn(path), {}};
      Result<OpenedInput> opened = Open(path);
      if (opened) {
        step.place = followed++;
        builder.Add(path, std::move(opened->checkpoint), std::move(opened->analysis));
      } else {
        step.error = std::move(opened).error();
        worst_ = std::max(worst_, Complain(*step.error));
      }
      run.steps.push_back(std::move(step));
    }
    if (followed > 0) run.trend = std::move(builder).Finish();
    return run;
  }

  Result<OpenedInput> Open(const std::string& path) const {
    try {
      return OpenInput(path, options_, analysis_);
    } catch (const std::bad_alloc&) {
      return Fail(NotEnoughMemory(path));
    }
  }

  // Findings by the settings and the baseline. A run of which a checkpoint could not be read cannot
  // say what is gone.
  void Settle(FollowedRun& run) {
    AuditedInput as_input{InputReport{run.path}, std::move(run.trend.findings)};
    for (const FollowedStep& step : run.steps) {
      if (step.error) as_input.input.error = step.error;
    }
    policy_.Settle(as_input);
    run.trend.findings = std::move(as_input.findings);
    run.known = std::move(as_input.known);
    run.hidden = as_input.hidden;
    run.other_severity = as_input.other_severity;
  }

  Status Report(RunList& list, Reporter& reporter) {
    TrendSummary summary;
    policy_.Begin(summary.policy);
    for (const RunInput& input : list.runs) {
      FollowedRun run = Follow(input);
      Settle(run);
      summary.Add(run);
      for (const Finding& finding : run.trend.findings) {
        if (FailsOn() && finding.severity >= *FailsOn() && !policy_.writes_baseline())
          worst_ = std::max(worst_, ExitCode::kFindings);
      }
      CKPT_RETURN_IF_ERROR(reporter.Add(run));
    }
    summary.not_read = std::move(list.not_read);
    Status written = policy_.End(options_, summary.policy);
    Status reported = reporter.End(summary);
    return written ? reported : written;
  }

  CommonOptions options_;
  AuditPolicy policy_;
  AnalysisOptions analysis_;
  std::vector<std::string> inputs_;
  std::optional<int> fail_on_;
  ExitCode worst_ = ExitCode::kClean;
};

}  // namespace

std::unique_ptr<Command> MakeTrend() { return std::make_unique<TrendCommand>(); }

}  // namespace ckpt::cli
