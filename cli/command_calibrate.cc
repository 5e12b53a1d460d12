// ckpt calibrate: computes missing or stale statistics again from data.
#include <fnmatch.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>
#include <set>

#include "ckpt/calibrate.h"
#include "ckpt/formats/convert_file.h"
#include "ckpt/formats/graph_output.h"
#include "cli/calibration_data.h"
#include "cli/choices.h"
#include "cli/command.h"
#include "cli/input_pass.h"
#include "cli/output_audit.h"
#include "cli/reporter.h"

namespace ckpt::cli {
namespace {

using network::OperationId;

// Fewer examples than these are warned of: the error of a mean is sigma / sqrt(examples), or less.
constexpr std::uint64_t kFewExamples = 32;

// Rules whose findings say that statistics were never computed.
bool SaysNeverComputed(const Rule& rule) {
  return rule.name == "never-updated" || rule.name == "looks-never-updated" ||
         rule.name == "partly-updated" || rule.name == "statistics-missing";
}

class CalibrateCommand : public Command {
 public:
  void Setup(CLI::App& app) override {
    app.add_option("INPUT", input_, "The file whose statistics are computed again")->required();
    app.add_option("OUTPUT", target_.path, "The file to write, of INPUT's format")->required();
    app.add_option("--data", data_.files,
                   "Examples: .npz by the inputs' names, .npy for a lone input; several are joined")
        ->type_name("FILE");
    app.add_option("--data-input", data_.inputs, "The examples of one of several inputs")
        ->allow_extra_args(false)
        ->type_name("NAME=FILE");
    app.add_option("--layers", globs_, "Batch norms whose scope matches GLOB (may be repeated)")
        ->allow_extra_args(false)
        ->type_name("GLOB");
    app.add_flag("--all", all_, "All batch norms, not only those that were never updated");
    app.add_option("--batch", calibrate_.batch,
                   "Examples at a time; the result does not depend on it")
        ->check(CLI::PositiveNumber)
        ->type_name("N");
    const std::map<std::string, VarianceRule> rules = {{"biased", VarianceRule::kBiased},
                                                       {"unbiased", VarianceRule::kUnbiased}};
    app.add_option("--variance", variance_,
                   "Over n (biased) or n - 1 (unbiased); default: as INPUT's framework stores it")
        ->transform(OneOf(rules))
        ->type_name("RULE");
    app.add_option("--to", to_, "Format of OUTPUT, which must be INPUT's")->type_name("NAME");
    app.add_flag("--force", target_.replace, "Replace OUTPUT if it exists");
    app.add_flag("--dry-run", dry_run_, "Compute and report, write nothing");
    app.add_option("--record", target_.record_path,
                   "Where to write the record (default OUTPUT.ckpt.json)")
        ->type_name("FILE");
    AddInputOptions(app, options_, nullptr);
    AddReportOptions(app, CommandId::kCalibrate, options_);
  }

  ExitCode Run() override {
    if (Status status = Prepare(); !status) return Complain(status.error());
    auto reporter = OpenReporter(options_);
    if (!reporter) return Complain(reporter.error());
    Conversion report{input_, target_.path};
    report.calibration.emplace();
    Status status = Work(report, *reporter);
    if (!status && status.error().file.empty()) {
      Error error = status.error();
      error.file = input_;
      status = Fail(std::move(error));
    }
    const ExitCode code = status ? ExitCode::kClean : Complain(status.error());
    if (!status) report.error = status.error();
    Status printed = reporter->Add(report);
    if (printed) printed = reporter->Finish();
    return printed ? code : std::max(code, Complain(printed.error()));
  }

 private:
  Status Prepare() {
    CKPT_RETURN_IF_ERROR(CheckCommonOptions(options_));
    if (data_.files.empty() && data_.inputs.empty()) {
      return Fail(ErrorCode::kInvalidArgument, "--data or --data-input is needed");
    }
    if (options_.memory > 0) calibrate_.budget.memory_bytes = options_.memory;
    if (target_.record_path.empty()) target_.record_path = target_.path + ".ckpt.json";
    target_.report_paths = ReportPathsOf(options_);
    return {};
  }

  Status Work(Conversion& report, const Reporter& reporter) {
    CKPT_ASSIGN_OR_RETURN(const OpenedInput input, OpenInput(input_, options_));
    const Checkpoint& source = *input.checkpoint;
    CKPT_RETURN_IF_ERROR(ChooseFormat(source));
    if (!dry_run_) formats::SettleInterrupted(target_);
    CKPT_RETURN_IF_ERROR(formats::CheckTarget(target_, source.manifest()));
    report.formats = {source.manifest().resolved, source.format(), target_.format->name,
                      NotesOf(source)};
    CKPT_ASSIGN_OR_RETURN(const network::Network net, source.MakeNetwork());
    CKPT_RETURN_IF_ERROR(ChooseLayers(net, input));
    CKPT_ASSIGN_OR_RETURN(
        const CalibrationData data,
        ReadCalibrationData(data_, net, options_, calibrate_.budget.memory_bytes));
    calibrate_.variance = variance_.value_or(RuleOf(input.analysis.framework));
    CKPT_ASSIGN_OR_RETURN(const auto layers,
                          CalibrateStatistics(net, source, *data.examples, calibrate_));
    Describe(layers, data, *report.calibration);
    CKPT_RETURN_IF_ERROR(reporter.Check());
    return Write(*WithStatistics(source, layers), report);
  }

  // The file stays what it is: only statistics change.
  Status ChooseFormat(const Checkpoint& source) {
    target_.format = formats::FindFormat(to_.empty() ? source.format() : std::string_view(to_));
    if (target_.format == nullptr) {
      return Fail(ErrorCode::kInvalidArgument,
                  "--to: unknown format \"" + to_ + "\"" + DidYouMean(to_, FormatNames()));
    }
    if (target_.format->name == source.format() && target_.format->write != nullptr &&
        !formats::HoldsOperations(*target_.format)) {
      return {};
    }
    return Fail(ErrorCode::kUnsupported,
                "statistics are written back into the format that they come from, and " +
                    std::string(source.format()) + " -> " + std::string(target_.format->name) +
                    " is not that or cannot be written");
  }

  static VarianceRule RuleOf(const std::optional<Framework>& framework) {
    return framework == Framework::kPyTorch ? VarianceRule::kUnbiased : VarianceRule::kBiased;
  }

  bool IsNamed(const std::string& scope) const {
    return std::any_of(globs_.begin(), globs_.end(), [&](const std::string& glob) {
      return ::fnmatch(glob.c_str(), scope.c_str(), 0) == 0;
    });
  }

  // The batch norms of the file that are asked for, or that were never updated.
  std::set<std::size_t> WantedOf(const OpenedInput& input) const {
    std::set<std::size_t> wanted;
    const auto& norms = input.analysis.batch_norms;
    for (std::size_t i = 0; i < norms.size(); ++i) {
      if (all_ ? !norms[i].frozen : IsNamed(norms[i].scope)) wanted.insert(i);
    }
    if (all_ || !globs_.empty()) return wanted;
    for (const Finding& finding : ckpt::Audit(*input.checkpoint, input.analysis, {}).findings) {
      if (SaysNeverComputed(*finding.rule)) {
        wanted.insert(finding.layers.begin(), finding.layers.end());
      }
    }
    return wanted;
  }

  Status ChooseLayers(const network::Network& net, const OpenedInput& input) {
    std::map<TensorId, OperationId> by_mean;
    for (std::uint32_t i = 0; i < net.operations.size(); ++i) {
      const network::Operation& op = net.operations[i];
      if (!std::holds_alternative<network::BatchNormalization>(op.computation)) continue;
      if (op.operands.size() < 5 || op.operands[3] == network::kNoValue) continue;
      const auto& constant = net.value(op.operands[3]).constant;
      const auto* stored = constant ? std::get_if<network::StoredConstant>(&*constant) : nullptr;
      if (stored != nullptr) by_mean.emplace(stored->tensor, OperationId{i});
    }
    const std::set<std::size_t> wanted = WantedOf(input);
    if (wanted.empty()) {
      return Fail(ErrorCode::kUnfit,
                  "there is nothing to calibrate: no batch norm looks as if it was never updated; "
                  "--all or --layers GLOB names others");
    }
    for (const std::size_t layer : wanted) {
      const BatchNorm& norm = input.analysis.batch_norms[layer];
      const auto found = norm.moving_mean ? by_mean.find(*norm.moving_mean) : by_mean.end();
      if (found == by_mean.end()) {
        return Fail(ErrorCode::kUnfit,
                    "the network has no batch norm that reads the statistics of \"" + norm.scope +
                        "\", or the file does not hold them");
      }
      calibrate_.layers.insert(found->second);
      scopes_[found->second] = norm.scope;
    }
    return {};
  }

  void Describe(const std::vector<CalibratedLayer>& layers, const CalibrationData& data,
                CalibrationReport& report) const {
    report.variance = calibrate_.variance;
    report.inputs = data.ranges;
    report.examples = data.examples->count();
    report.few = report.examples < kFewExamples;
    for (const CalibratedLayer& layer : layers) {
      report.layers.push_back({scopes_.at(layer.operation), layer.elements, layer.mean_shift});
    }
  }

  Status Write(const Checkpoint& calibrated, Conversion& report) {
    const Analysis analysis = Analyse(calibrated.manifest(), {});
    ConvertOptions convert;
    convert.keep_training_state = true;
    convert.output_holds_network = true;
    const AuditResult audit = ckpt::Audit(calibrated, analysis, {});
    CKPT_ASSIGN_OR_RETURN(const ConversionPlan plan,
                          PlanConversion(calibrated, analysis, audit, convert));
    CKPT_RETURN_IF_ERROR(formats::CheckHeld(target_, plan));
    report.plan = ReportOf(plan);
    if (dry_run_) {
      report.dry_run = true;
      return ReadPlanned(calibrated, plan);
    }
    return CarryOut(calibrated, plan, target_, *options_.read, /*allow_findings=*/false, report);
  }

  CommonOptions options_;
  CalibrateOptions calibrate_;
  formats::ConversionTarget target_;
  DataFiles data_;
  std::optional<VarianceRule> variance_;
  std::vector<std::string> globs_;
  std::map<OperationId, std::string> scopes_;
  std::string input_, to_;
  bool all_ = false, dry_run_ = false;
};

}  // namespace

std::unique_ptr<Command> MakeCalibrate() { return std::make_unique<CalibrateCommand>(); }

}  // namespace ckpt::cli
