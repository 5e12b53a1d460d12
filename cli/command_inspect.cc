// ckpt inspect: what is in a file.
#include <algorithm>
#include <optional>
#include <utility>

#include "cli/command.h"
#include "cli/input_pass.h"
#include "cli/reporter.h"

namespace ckpt::cli {
namespace {

class Inspect : public Command {
 public:
  void Setup(Arguments& app) override {
    AddInputOptions(app, options_, &inputs_);
    AddReportOptions(app, CommandId::kInspect, options_);
  }

  ExitCode Run() override {
    if (Status status = CheckCommonOptions(options_); !status) return Complain(status.error());
    auto inputs = CollectInputs(options_, inputs_);
    if (!inputs) return Complain(inputs.error());
    not_read_ = std::move(inputs->not_read);
    auto reporter = OpenReporter(options_);
    if (!reporter) return Complain(reporter.error());
    ExitCode worst = ExitCode::kClean;
    if (Status status = Report(inputs->paths, *reporter, worst); !status)
      return Complain(status.error());
    return worst;
  }

 private:
  Status Report(const std::vector<std::string>& inputs, Reporter& reporter, ExitCode& worst) {
    const bool draws = Draws(options_);
    std::vector<std::optional<Result<OpenedInput>>> opened(inputs.size());
    std::vector<std::vector<LayerProfile>> profiles(inputs.size());
    InspectSummary summary{inputs.size()};
    const auto work = [&](std::size_t i) {
      try {
        const Result<OpenedInput>& input = opened[i].emplace(OpenInput(inputs[i], options_));
        if (draws && input) profiles[i] = ProfileLayers(*input->checkpoint, input->analysis);
      } catch (const std::bad_alloc&) {
        opened[i].emplace(Fail(NotEnoughMemory(inputs[i])));
      }
    };
    const auto emit = [&](std::size_t i) -> Status {
      const Result<OpenedInput> input = *std::exchange(opened[i], std::nullopt);
      if (!input) {
        ++summary.failed;
        worst = std::max(worst, Complain(input.error()));
      }
      return reporter.Add(InspectedInput{ReportOf(inputs[i], input), std::move(profiles[i])});
    };
    CKPT_RETURN_IF_ERROR(ForEachInput(inputs.size(), options_.jobs, work, emit));
    summary.not_read = std::move(not_read_);
    return reporter.End(summary);
  }

  CommonOptions options_;
  std::vector<std::string> inputs_;
  std::vector<NotRead> not_read_;
};

}  // namespace

std::unique_ptr<Command> MakeInspect() { return std::make_unique<Inspect>(); }

}  // namespace ckpt::cli
