// ckpt calibrate: computes missing or stale statistics again from data.
#include <algorithm>
#include <map>
#include <set>

#include "ckpt/calibrate.h"
#include "ckpt/formats/convert_file.h"
#include "ckpt/serving_network.h"
#include "ckpt/sha256.h"
#include "cli/calibration_data.h"
#include "cli/calibration_layers.h"
#include "cli/choices.h"
#include "cli/command.h"
#include "cli/input_pass.h"
#include "cli/output_audit.h"
#include "cli/reporter.h"
#include "cli/runnable_input.h"
#include "cli/serving_conversion.h"

namespace ckpt::cli {
namespace {

// Fewer examples than these are warned of: the error of a mean is sigma / sqrt(examples), or less.
constexpr std::uint64_t kFewExamples = 32;

constexpr std::uint64_t kMostStatisticBytes = std::uint64_t{1} << 26;  // of one statistic

class CalibrateCommand : public Command {
 public:
  void Setup(Arguments& app) override {
    app.add_option("INPUT", input_, "The file whose statistics are computed again")->required();
    app.add_option("OUTPUT", target_.path, "The file to write, of INPUT's format")->required();
    app.add_option("--data", data_.files,
                   "Examples: .npz by the inputs' names, .npy for a lone input; several are joined")
        ->type_name("FILE");
    app.add_option("--data-input", data_.inputs, "The examples of one of several inputs")
        ->allow_extra_args(false)
        ->type_name("NAME=FILE");
    app.add_option("--statistics-from", other_,
                   "Take the statistics of this checkpoint, whose weights before them are the same")
        ->type_name("OTHER");
    app.add_option("--graph", graph_, "A file that has the network of an INPUT without one")
        ->type_name("FILE");
    app.add_option("--layers", choice_.scopes,
                   "Batch norms whose scope matches GLOB (may be repeated)")
        ->allow_extra_args(false)
        ->type_name("GLOB");
    app.add_flag("--all", choice_.all, "All batch norms, not only those that were never updated");
    app.add_option("--batch", calibrate_.batch,
                   "Examples at a time; the result does not depend on it")
        ->check(Positive())
        ->type_name("N");
    const std::map<std::string, VarianceRule> rules = {{"biased", VarianceRule::kBiased},
                                                       {"unbiased", VarianceRule::kUnbiased}};
    app.add_option("--variance", choice_.variance,
                   "Over n (biased) or n - 1 (unbiased); default: as its framework stores it")
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

  std::string HintOnMissing() const override {
    return data_.files.empty()
               ? ""
               : ": --data takes all that follows it: INPUT and OUTPUT stand before "
                 "it, or behind a further option or --";
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
    CKPT_RETURN_IF_ERROR(CheckWrittenHere("OUTPUT", target_.path));
    CKPT_RETURN_IF_ERROR(CheckWrittenHere("--record", target_.record_path));
    if ((data_.files.empty() && data_.inputs.empty()) == other_.empty()) {
      return Fail(ErrorCode::kInvalidArgument,
                  other_.empty() ? "--data, --data-input or --statistics-from is needed"
                                 : "--statistics-from stands in the place of data");
    }
    if (options_.memory > 0) calibrate_.budget.memory_bytes = options_.memory;
    target_.report_paths = ReportPathsOf(options_);
    return {};
  }

  Status Work(Conversion& report, const Reporter& reporter) {
    CKPT_ASSIGN_OR_RETURN(OpenedInput input, OpenInput(input_, options_, {}, graph_));
    CKPT_ASSIGN_OR_RETURN(const CompletedCheckpoint completed,
                          WithMissingStatistics(*input.checkpoint, input.analysis));
    if (completed.checkpoint) input.analysis = Analyse(completed.checkpoint->manifest(), {});
    const Checkpoint& source = completed.checkpoint ? *completed.checkpoint : *input.checkpoint;
    CKPT_RETURN_IF_ERROR(ChooseFormat(source));
    if (!dry_run_) formats::SettleInterrupted(target_);
    CKPT_RETURN_IF_ERROR(formats::CheckTarget(target_, source.manifest()));
    report.formats = {source.manifest().resolved, source.format(), target_.format->name,
                      NotesOf(source)};
    CKPT_ASSIGN_OR_RETURN(const network::Network net, NetworkOf(source));
    CKPT_ASSIGN_OR_RETURN(calibrate_.layers,
                          ChooseLayers(net, source, input.analysis, completed.added, choice_));
    AnnounceTensors(source);
    CKPT_ASSIGN_OR_RETURN(const auto layers, Compute(net, source, *report.calibration));
    CKPT_RETURN_IF_ERROR(reporter.Check());
    const auto calibrated = WithStatistics(source, layers);
    if (Draws(options_)) {
      report.calibration->profiles = Profiles(source, *calibrated, input.analysis, layers);
    }
    return Write(*calibrated, completed, report);
  }

  // Before and after; nothing of a layer whose statistics are no batch norm of the analysis.
  static std::vector<LayerProfiles> Profiles(const Checkpoint& before, const Checkpoint& after,
                                             const Analysis& analysis,
                                             const std::vector<CalibratedLayer>& layers) {
    std::vector<LayerPair> pairs;
    for (const CalibratedLayer& layer : layers) {
      const auto norm =
          std::find_if(analysis.batch_norms.begin(), analysis.batch_norms.end(),
                       [&](const BatchNorm& one) { return one.moving_mean == layer.mean; });
      std::optional<std::size_t> place;
      if (norm != analysis.batch_norms.end())
        place = static_cast<std::size_t>(norm - analysis.batch_norms.begin());
      pairs.emplace_back(place, place);
    }
    return ProfileBoth({before, analysis}, {after, analysis}, pairs);
  }

  // The file stays what it is, and only statistics change; V1 checkpoints are not written.
  Status ChooseFormat(const Checkpoint& source) {
    const std::string_view own = source.format() == "tf-v1" ? "tf-bundle" : source.format();
    target_.format = formats::FindFormat(to_.empty() ? own : std::string_view(to_));
    if (target_.format == nullptr) {
      return Fail(ErrorCode::kInvalidArgument,
                  "--to: unknown format \"" + to_ + "\"" + DidYouMean(to_, FormatNames()));
    }
    if (target_.record_path.empty()) {
      target_.record_path = formats::DefaultRecordPath(target_.path, target_.format);
    }
    if (target_.format->name == own && target_.format->write != nullptr) return {};
    return Fail(ErrorCode::kUnsupported,
                "statistics are written back into the format that they come from, and " +
                    std::string(source.format()) + " -> " + std::string(target_.format->name) +
                    " is not that or cannot be written");
  }

  Result<network::Network> NetworkOf(const Checkpoint& source) const {
    if (source.manifest().ops && !graph_.empty()) return NetworkOverSource(source, {});
    return RunnableNetwork(source, input_, options_, graph_);
  }

  Result<std::vector<CalibratedLayer>> Compute(const network::Network& net,
                                               const Checkpoint& source,
                                               CalibrationReport& report) {
    std::vector<CalibratedLayer> layers;
    if (other_.empty()) {
      CKPT_ASSIGN_OR_RETURN(
          const CalibrationData data,
          ReadCalibrationData(data_, net, options_, calibrate_.budget.memory_bytes));
      CKPT_ASSIGN_OR_RETURN(layers, CalibrateStatistics(net, source, *data.examples, calibrate_));
      report.inputs = data.ranges;
      report.examples = data.examples->count();
      report.few = report.examples < kFewExamples;
      CKPT_ASSIGN_OR_RETURN(report.files, formats::DigestFiles(*options_.read, data.files));
    } else {
      CKPT_ASSIGN_OR_RETURN(const auto other, OpenNamed(other_, options_));
      CKPT_ASSIGN_OR_RETURN(layers, BorrowStatistics(net, source, *other, calibrate_.layers));
      report.taken_from = other_;
      CKPT_ASSIGN_OR_RETURN(report.files,
                            formats::DigestFiles(*options_.read, other->manifest().files));
    }
    for (const CalibratedLayer& layer : layers) {
      report.layers.push_back(
          {layer.layer, layer.elements, layer.rule, layer.mean_shift, layer.constant_channels});
    }
    return layers;
  }

  Status Write(const Checkpoint& calibrated, const CompletedCheckpoint& completed,
               Conversion& report) {
    const Analysis analysis = Analyse(calibrated.manifest(), {});
    report.calibration->marked =
        ParseMark(calibrated.manifest().metadata.at(std::string(kCalibrationMark)));
    ConvertOptions convert;
    convert.output_holds_network = true;
    const AuditResult audit = ckpt::Audit(calibrated, analysis, {});
    ServingConversion serving;
    if (target_.format->holds_operations) {
      CKPT_ASSIGN_OR_RETURN(serving,
                            PlanServing(calibrated, audit, {}, convert, {}, *target_.format));
      report.served = {serving.graph->signatures, serving.model->dropped_signatures(),
                       calibrated.manifest().ops->other_graphs};
      MarkServed(*serving.model, report.calibration->marked);
    } else {
      convert.keep_training_state = true;
      CKPT_ASSIGN_OR_RETURN(serving.plan, PlanConversion(calibrated, analysis, audit, convert));
    }
    const ConversionPlan& plan = serving.plan;
    const Checkpoint& written = serving.model ? *serving.model : calibrated;
    CKPT_RETURN_IF_ERROR(formats::CheckHeld(target_, plan));
    report.plan = ReportOf(plan);
    report.plan->kept.clear();  // of batch norms that were to be folded
    AddNotes(completed, *report.plan);
    if (dry_run_) {
      report.dry_run = true;
      return ReadPlanned(written, plan);
    }
    return CarryOut(written, plan, target_, *options_.read, {}, report, serving.graph);
  }

  // The serving graph may call the tensors otherwise: they are told by their bytes.
  static void MarkServed(const Checkpoint& served, std::vector<MarkedTensor>& marked) {
    std::set<std::string> digests;
    for (const MarkedTensor& tensor : marked) digests.insert(tensor.sha256);
    marked.clear();
    for (const BatchNorm& norm : Analyse(served.manifest(), {}).batch_norms) {
      for (const auto& id : {norm.moving_mean, norm.moving_variance}) {
        if (!id) continue;
        const auto bytes = ReadBytes(served, *id, kMostStatisticBytes);
        const std::string digest = bytes ? Sha256(*bytes) : std::string();
        if (!digests.contains(digest)) continue;
        marked.push_back({served.manifest().tensors[id->index].name, digest});
      }
    }
  }

  static void AddNotes(const CompletedCheckpoint& completed, PlanReport& plan) {
    if (completed.added.empty()) return;
    plan.notes.push_back(std::to_string(completed.added.size()) +
                         " moving statistics that INPUT lacks stand in OUTPUT under the names and "
                         "types that the graph gives them");
    for (const std::string& saver : completed.savers_without) {
      plan.notes.push_back("the graph's own saver \"" + saver +
                           "\" does not restore them; tf.train.Saver() over all variables of the "
                           "serving graph does");
    }
  }

  CommonOptions options_;
  CalibrateOptions calibrate_;
  formats::ConversionTarget target_;
  DataFiles data_;
  LayerChoice choice_;
  std::string input_, graph_, other_, to_;
  bool dry_run_ = false;
};

}  // namespace

std::unique_ptr<Command> MakeCalibrate() { return std::make_unique<CalibrateCommand>(); }

}  // namespace ckpt::cli
