// ckpt inspect: what is in a file.
#include <algorithm>
#include <optional>
#include <utility>

#include "cli/command.h"
#include "cli/git/text_of_file.h"
#include "cli/input_pass.h"
#include "cli/progress.h"
#include "cli/reporter.h"

namespace ckpt::cli {
namespace {

class Inspect : public Command {
 public:
  void Setup(Arguments& app) override {
    app.add_option("--only", only_, "List only tensors that match GLOB (may be repeated)")
        ->allow_extra_args(false)
        ->type_name("GLOB");
    app.add_flag("--summary", summary_only_, "Text counts tensors and batch norms, and lists none");
    app.add_flag("--stats", stats_,
                 "Read all data: least, largest and mean value and standard deviation of each "
                 "tensor, NaN and infinities counted");
    app.add_flag("--textconv", textconv_,
                 "One file as lines that git compares: each tensor with its hash, mean and std");
    AddInputOptions(app, options_, &inputs_);
    AddReportOptions(app, CommandId::kInspect, options_);
  }

  ExitCode Run() override {
    if (Status status = CheckCommonOptions(options_); !status) return Complain(status.error());
    if (textconv_) return PrintTextOfFile(options_, inputs_);
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
  // --stats of what is listed; where data cannot be read, that is the input's error.
  void Measure(const Checkpoint& checkpoint, InspectedInput& inspected) const {
    if (!stats_) return;
    AnnounceTensors(checkpoint);
    const ProgressCheckpoint counted(checkpoint, "inspect", options_.quiet);
    for (const std::size_t i : inspected.tensors) {
      auto measured = MeasureTensor(counted, TensorId{static_cast<std::uint32_t>(i)});
      if (!measured && !inspected.input.error) inspected.input.error = measured.error();
      inspected.statistics.push_back(measured ? *std::move(measured) : std::nullopt);
    }
  }

  Status Report(const std::vector<std::string>& inputs, Reporter& reporter, ExitCode& worst) {
    const bool draws = Draws(options_);
    std::vector<std::optional<Result<OpenedInput>>> opened(inputs.size());
    std::vector<InspectedInput> found(inputs.size());
    InspectSummary summary{inputs.size()};
    const auto work = [&](std::size_t i) {
      try {
        opened[i].emplace(OpenInput(inputs[i], options_));
        found[i] = Inspected(ReportOf(inputs[i], *opened[i]), only_);
        if (*opened[i]) Measure(*(*opened[i])->checkpoint, found[i]);
        if (draws && *opened[i]) {
          found[i].profiles = ProfileLayers(*(*opened[i])->checkpoint, (*opened[i])->analysis);
        }
        found[i].summary_only = summary_only_;
      } catch (const std::bad_alloc&) {
        opened[i].emplace(Fail(NotEnoughMemory(inputs[i])));
        found[i] = {ReportOf(inputs[i], *opened[i])};
      }
    };
    const auto emit = [&](std::size_t i) -> Status {
      const InspectedInput inspected = std::move(found[i]);
      if (inspected.input.error) {
        ++summary.failed;
        worst = std::max(worst, Complain(*inspected.input.error));
      }
      Status added = reporter.Add(inspected);
      opened[i].reset();
      return added;
    };
    CKPT_RETURN_IF_ERROR(ForEachInput(inputs.size(), options_.jobs, work, emit));
    summary.not_read = std::move(not_read_);
    return reporter.End(summary);
  }

  CommonOptions options_;
  std::vector<std::string> inputs_, only_;
  std::vector<NotRead> not_read_;
  bool summary_only_ = false, stats_ = false;
  bool textconv_ = false;
};

}  // namespace

std::unique_ptr<Command> MakeInspect() { return std::make_unique<Inspect>(); }

}  // namespace ckpt::cli
