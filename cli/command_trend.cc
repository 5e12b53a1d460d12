// ckpt trend: the batch norms of a run over its checkpoints.
#include <algorithm>
#include <new>

#include "ckpt/trend.h"
#include "cli/command.h"
#include "cli/fail_on.h"
#include "cli/input_pass.h"
#include "cli/reporter.h"
#include "cli/runs.h"

namespace ckpt::cli {
namespace {

class TrendCommand : public Command {
 public:
  void Setup(Arguments& app) override {
    AddFailOnOption(app, fail_on_);
    AddAnalysisOptions(app, analysis_, "layers");
    AddInputOptions(app, options_, &inputs_);
    AddReportOptions(app, CommandId::kTrend, options_);
  }

  ExitCode Run() override {
    if (Status status = CheckCommonOptions(options_); !status) return Complain(status.error());
    auto inputs = NamedInputs(options_, inputs_);
    if (!inputs) return Complain(inputs.error());
    auto list = RunsOf(options_, *inputs);
    if (!list) return Complain(list.error());
    auto reporter = OpenReporter(options_, FailsOn(fail_on_));
    if (!reporter) return Complain(reporter.error());
    Status status = Report(*list, *reporter);
    return status ? worst_ : std::max(worst_, Complain(status.error()));
  }

 private:
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

  Status Report(RunList& list, Reporter& reporter) {
    TrendSummary summary;
    for (const RunInput& input : list.runs) {
      const FollowedRun run = Follow(input);
      summary.Add(run);
      for (const Finding& finding : run.trend.findings) {
        if (static_cast<int>(finding.severity) >= fail_on_)
          worst_ = std::max(worst_, ExitCode::kFindings);
      }
      CKPT_RETURN_IF_ERROR(reporter.Add(run));
    }
    summary.not_read = std::move(list.not_read);
    return reporter.End(summary);
  }

  CommonOptions options_;
  AnalysisOptions analysis_;
  std::vector<std::string> inputs_;
  int fail_on_ = static_cast<int>(Severity::kWarning);
  ExitCode worst_ = ExitCode::kClean;
};

}  // namespace

std::unique_ptr<Command> MakeTrend() { return std::make_unique<TrendCommand>(); }

}  // namespace ckpt::cli
