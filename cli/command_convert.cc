// ckpt convert: writes a serving-ready file.
#include <algorithm>
#include <map>

#include "ckpt/formats/convert_file.h"
#include "cli/certificate.h"
#include "cli/choices.h"
#include "cli/command.h"
#include "cli/graph_evidence.h"
#include "cli/input_pass.h"
#include "cli/name_map.h"
#include "cli/output_audit.h"
#include "cli/progress.h"
#include "cli/reporter.h"
#include "cli/run_values.h"
#include "cli/serving_conversion.h"
#include "cli/unwritable_output.h"

namespace ckpt::cli {
namespace {

class ConvertCommand : public Command {
 public:
  void Setup(Arguments& app) override {
    app.add_option("INPUT", input_, "The checkpoint to convert")->required();
    app.add_option("OUTPUT", target_.path, "The file to write")->required();
    app.add_option("--to", to_, "Format of OUTPUT (default: by its suffix)")->type_name("NAME");
    const std::map<std::string, bool> folds = {{"fold", true}, {"preserve", false}};
    app.add_option("--bn", convert_.fold.fold,
                   "fold batch norms into their neighbours, or preserve them (default)")
        ->transform(OneOf(folds))
        ->type_name("MODE");
    const std::map<std::string, bool> leftovers = {{"affine", true}, {"keep", false}};
    app.add_option("--leftover", convert_.fold.leftover_affine,
                   "What becomes of a batch norm that cannot be folded: keep it, or reduce it to "
                   "one scale and one "
                   "offset per channel (affine)")
        ->transform(OneOf(leftovers))
        ->type_name("MODE");
    auto* pairs =
        app.add_option("--pairs", pairs_file_, "JSON file that ties batch norms to kernels")
            ->type_name("FILE");
    auto* by_order =
        app.add_flag("--pair-by-order", convert_.fold.pair_by_order,
                     "Tie each batch norm to a kernel by the natural order of their names");
    auto* by_name =
        app.add_flag("--pair-by-name", convert_.fold.pair_by_name,
                     "Tie batch norms to kernels of corresponding names (conv2 and bn2)");
    pairs->excludes(by_order)->excludes(by_name);
    by_order->excludes(by_name);
    app.add_option("--graph", graph_,
                   "A file whose model graph is evidence for an input without one")
        ->type_name("FILE");
    app.add_option(
           "--inputs", serving_.inputs,
           "Tensors that a serving graph takes (default: by the signature, or derived); KEY=TENSOR "
           "says what a SavedModel's signature calls one")
        ->delimiter(',')
        ->allow_extra_args(false)
        ->type_name("A,B");
    app.add_option("--outputs", serving_.outputs,
                   "Tensors that a serving graph yields (default: by the signature, or derived); "
                   "KEY=TENSOR says what a SavedModel's signature calls one")
        ->delimiter(',')
        ->allow_extra_args(false)
        ->type_name("C,D");
    app.add_option("--feed", feeds_,
                   "What a scalar placeholder of the graph is at serving (may be repeated)")
        ->allow_extra_args(false)
        ->type_name("NAME=VALUE");
    AddAnalysisOptions(app, analysis_, "batch norms");
    app.add_flag("--keep-training-state", convert_.keep_training_state,
                 "Keep optimizer slots, shadows and steps");
    app.add_flag("--ema", convert_.use_ema,
                 "Write the moving averages of the weights instead of the weights");
    app.add_option("--rename", rename_file_, "JSON file {\"old name\": \"new name\"}")
        ->type_name("FILE");
    const std::map<std::string, Framework> frameworks = {{"torch", Framework::kPyTorch},
                                                         {"keras", Framework::kKeras},
                                                         {"tensorflow", Framework::kTensorFlow}};
    app.add_option("--names", convert_.names,
                   "Write the names and kernel layouts of this framework (default: the input's, "
                   "unless OUTPUT's format is another framework's)")
        ->transform(OneOf(frameworks))
        ->type_name("FRAMEWORK");
    app.add_option("--input-names", convert_.input_names,
                   "The framework whose names and layouts the input follows, where nothing says")
        ->transform(OneOf(frameworks))
        ->type_name("FRAMEWORK");
    app.add_option("--cast", cast_, "Convert floating tensors to this type")->type_name("DTYPE");
    app.add_flag(
        "--allow-findings", convert_.allow_findings,
        "Write what is there although the audit found errors; such layers are never folded");
    app.add_flag("--close-training-mode", convert_.close_training_mode,
                 "Batch norms that the input serves in training mode use their moving statistics");
    app.add_flag("--strict", convert_.fold.strict, "Refuse kept layers and assumed epsilons");
    auto* verify = app.add_flag("--verify", verify_,
                                "Run INPUT and OUTPUT and compare them, however long it takes "
                                "(default: where a run takes at most 200 million multiplications)");
    app.add_flag("--no-verify", no_verify_, "Do not run them")->excludes(verify);
    app.add_option("--shape", shapes_,
                   "NAME=1x224x224x3: the shape of an input, for --verify, whose sizes the file "
                   "leaves open")
        ->allow_extra_args(false)
        ->type_name("SHAPE");
    app.add_flag("--no-digest", no_digest_,
                 "Take no SHA-256 of INPUT and OUTPUT: the record has null for them");
    app.add_option(
           "-j,--jobs", jobs_,
           "1: one thread does all; more: the SHA-256 are taken beside the writing (default)")
        ->check(Between(1, 256))
        ->type_name("N");
    app.add_flag("--dry-run", dry_run_, "Print the plan, write nothing");
    app.add_flag("--force", target_.replace, "Replace OUTPUT if it exists");
    app.add_option("--shard-size", target_.shard_bytes,
                   "Bytes of a file of a sharded OUTPUT, .weights.json, at most (default 5GB)")
        ->transform(SizeIn(SizeUnit::kThousand))
        ->type_name("SIZE");
    app.add_option("--record", target_.record_path,
                   "Where to write the record (default OUTPUT.ckpt.json; of a SavedModel "
                   "OUTPUT/assets.extra/ckpt.json)")
        ->type_name("FILE");
    AddInputOptions(app, options_, nullptr);
    AddReportOptions(app, CommandId::kConvert, options_);
  }

  ExitCode Run() override {
    if (Status status = Prepare(); !status) return Complain(status.error());
    auto reporter = OpenReporter(options_);
    if (!reporter) return Complain(reporter.error());
    Conversion conversion{input_, target_.path};
    Status status = Work(conversion, *reporter);
    if (!status && status.error().file.empty()) {
      Error error = status.error();
      error.file = input_;
      status = Fail(std::move(error));
    }
    const ExitCode code = status ? ExitCode::kClean : Complain(status.error());
    // Nothing was done; FILE may be the very file that must not be written over.
    const bool usage = !status && status.error().code == ErrorCode::kInvalidArgument;
    if (usage && !options_.reports.empty()) return code;
    if (!status) conversion.error = status.error();
    Status printed = reporter->Add(conversion);
    if (printed) printed = reporter->Finish();
    return printed ? code : std::max(code, Complain(printed.error()));
  }

 private:
  // Everything that needs no input: usage errors come before any work.
  Status Prepare() {
    CKPT_RETURN_IF_ERROR(CheckCommonOptions(options_));
    CKPT_RETURN_IF_ERROR(CheckWrittenHere("OUTPUT", target_.path));
    CKPT_RETURN_IF_ERROR(CheckWrittenHere("--record", target_.record_path));
    target_.format =
        to_.empty() ? formats::FormatForOutput(target_.path) : formats::FindFormat(to_);
    if (target_.format == nullptr) {
      if (to_.empty()) return Fail(NoFormatOfOutput(target_.path));
      return Fail(ErrorCode::kInvalidArgument,
                  "--to: unknown format \"" + to_ + "\"" + DidYouMean(to_, FormatNames()));
    }
    if (target_.shard_bytes && !target_.path.ends_with(".weights.json")) {
      return Fail(ErrorCode::kInvalidArgument,
                  "--shard-size is for an OUTPUT that is a set of files: NAME.weights.json");
    }
    if (target_.record_path.empty()) {
      target_.record_path = formats::DefaultRecordPath(target_.path, target_.format);
    }
    target_.report_paths = ReportPathsOf(options_);
    target_.digest = !no_digest_;
    target_.one_thread = jobs_ == 1;
    if (!cast_.empty()) {
      convert_.cast = DtypeFromName(cast_);
      if (!convert_.cast || !IsFloat(*convert_.cast)) {
        return Fail(ErrorCode::kInvalidArgument,
                    "--cast: \"" + cast_ + "\" is no floating type; try float32 or float16");
      }
    }
    for (const std::string& feed : feeds_) {
      const std::size_t equals = feed.rfind('=');
      if (equals == std::string::npos || equals == 0) {
        return Fail(ErrorCode::kInvalidArgument, "--feed: \"" + feed + "\" is not NAME=VALUE");
      }
      serving_.feed[feed.substr(0, equals)] = feed.substr(equals + 1);
    }
    if (!target_.format->holds_operations && !convert_.fold.fold &&
        (!serving_.inputs.empty() || !serving_.outputs.empty() || !serving_.feed.empty())) {
      return Fail(ErrorCode::kInvalidArgument,
                  "--inputs, --outputs and --feed are for OUTPUT with a graph (graph-def or "
                  "saved-model) and for a fold over one");
    }
    CKPT_RETURN_IF_ERROR(CheckKeys());
    if (verify_) certificate_.mode = VerifyMode::kAlways;
    if (no_verify_) certificate_.mode = VerifyMode::kNever;
    if (options_.memory > 0) certificate_.verify.budget.memory_bytes = options_.memory;
    CKPT_ASSIGN_OR_RETURN(certificate_.verify.shapes, ParseShapes(shapes_));
    if (!rename_file_.empty()) {
      CKPT_ASSIGN_OR_RETURN(NameMap map, ReadNameMap(*options_.read, rename_file_));
      convert_.rename = std::move(map.names);
      convert_.hints = std::move(map.hints);
    }
    if (!pairs_file_.empty()) {
      CKPT_ASSIGN_OR_RETURN(convert_.fold.pairs, ReadPairs(*options_.read, pairs_file_));
    }
    return {};
  }

  // Only a signature calls tensors something.
  Status CheckKeys() const {
    if (target_.format->name == "saved-model") return {};
    for (const auto* tensors : {&serving_.inputs, &serving_.outputs}) {
      for (const std::string& tensor : *tensors) {
        if (tensor.find('=') == std::string::npos) continue;
        return Fail(ErrorCode::kInvalidArgument,
                    "\"" + tensor + "\": KEY=TENSOR names an argument of a signature, which " +
                        std::string(target_.format->name) + " has not; --to saved-model has");
      }
    }
    return {};
  }

  // A format of one framework holds that framework's names and layouts.
  void ChooseNames(const Analysis& analysis) {
    if (convert_.names) return;
    const auto source = convert_.input_names ? convert_.input_names : analysis.framework;
    const auto target = target_.format->framework;
    if (!source || !target || convert_.keep_training_state) return;
    if (IsChannelsFirst(*source) != IsChannelsFirst(*target)) convert_.names = target;
  }

  // Is what is written a network, not only tensors?
  bool HoldsNetwork(const Checkpoint& source) const {
    if (target_.format->holds_operations) return true;
    if (target_.format->rewrite == nullptr || !source.manifest().graph) return false;
    return formats::TakesDocumentsOf(*target_.format, source.format()) && !convert_.names &&
           convert_.rename.empty();
  }

  Status Work(Conversion& report, const Reporter& reporter) {
    if (!dry_run_) formats::SettleInterrupted(target_);
    CKPT_ASSIGN_OR_RETURN(OpenedInput input,
                          OpenInput(input_, options_, analysis_, graph_, convert_.fold.fold));
    report.formats = {input.checkpoint->manifest().resolved,
                      input.checkpoint->format(),
                      target_.format->name,
                      {}};
    CKPT_RETURN_IF_ERROR(formats::CheckTarget(target_, input.checkpoint->manifest()));
    if (target_.format->name == "onnx" &&
        !formats::TakesDocumentsOf(*target_.format, input.checkpoint->format())) {
      return Fail(NoGraphForOutput(*input.checkpoint, *target_.format));
    }
    AuditOptions audit_options;
    audit_options.averages = convert_.use_ema;
    const AuditResult audit = ckpt::Audit(*input.checkpoint, input.analysis, audit_options);
    if (input.checkpoint->format() != target_.format->name)
      CKPT_RETURN_IF_ERROR(UseOwnNames(analysis_, input));
    serving_.close_training_mode = convert_.close_training_mode;
    if (convert_.fold.fold && !target_.format->holds_operations) {
      CKPT_RETURN_IF_ERROR(UseServingLayers(analysis_, serving_, input, convert_.fold));
    }
    const Checkpoint& source = *input.checkpoint;
    ChooseNames(input.analysis);
    convert_.keep_graph_constants =
        source.format() == target_.format->name && target_.format->rewrite != nullptr;
    convert_.output_holds_network = HoldsNetwork(source);
    ServingConversion serving;
    if (target_.format->holds_operations) {
      CKPT_ASSIGN_OR_RETURN(
          serving, PlanServing(source, audit, analysis_, convert_, serving_, *target_.format));
    } else {
      CKPT_ASSIGN_OR_RETURN(serving.plan, PlanConversion(source, input.analysis, audit, convert_));
    }
    const ConversionPlan& plan = serving.plan;
    CKPT_RETURN_IF_ERROR(formats::CheckHeld(target_, plan));
    if (!convert_.allow_findings && !convert_.output_holds_network) {
      CKPT_RETURN_IF_ERROR(CheckEpsilonStays(source.manifest(), input.analysis, audit, plan));
    }
    if (!convert_.allow_findings && target_.format->name != "torch") {
      CKPT_RETURN_IF_ERROR(CheckNormsStayTold(source.manifest(), input.analysis, plan));
    }
    report.formats->notes = NotesOf(source);
    report.plan = ReportOf(plan);
    if (serving.graph) {
      report.served = {serving.graph->signatures, serving.model->dropped_signatures(),
                       source.manifest().ops->other_graphs};
    }
    CKPT_RETURN_IF_ERROR(reporter.Check());
    if (plan.tensors.empty() && !convert_.output_holds_network) {
      return Fail(ErrorCode::kUnfit,
                  "no tensor of it would be written: it holds none that is known here, or nothing "
                  "but training state");
    }
    AnnounceTensors(source);
    const ProgressCheckpoint counted(serving.model ? *serving.model : source, "convert",
                                     options_.quiet);
    if (dry_run_) {
      CKPT_RETURN_IF_ERROR(ReadPlanned(counted, plan));
      // A .pt records what tells another norm from a batch norm.
      if (!convert_.output_holds_network && target_.format->name != "torch") {
        CKPT_RETURN_IF_ERROR(AuditPlanned(counted, plan, convert_.allow_findings));
      }
      report.dry_run = true;
      return {};
    }
    Acceptance acceptance{convert_.allow_findings};
    certificate_.close_training_mode = convert_.close_training_mode;
    certificate_.incomparable = WhyIncomparable(input.analysis);
    certificate_.names_alone = !convert_.output_holds_network;
    acceptance.certify = [&](const Checkpoint& written) {
      return Certify(input_, options_, serving.model.get(), written, certificate_);
    };
    return CarryOut(counted, plan, target_, *options_.read, acceptance, report, serving.graph);
  }

  // What makes OUTPUT another function than INPUT's network as the file says it.
  std::string WhyIncomparable(const Analysis& analysis) const {
    if (convert_.use_ema) return "OUTPUT has averages where the network of INPUT has its weights";
    const bool told = std::any_of(
        analysis.batch_norms.begin(), analysis.batch_norms.end(), [](const BatchNorm& norm) {
          return norm.epsilon && norm.epsilon->evidence.source == EvidenceSource::kUser;
        });
    return told ? "the network of INPUT does not know the epsilon of --epsilon" : "";
  }

  CommonOptions options_;
  AnalysisOptions analysis_;
  ConvertOptions convert_;
  formats::ConversionTarget target_;
  ServingOptions serving_;
  std::vector<std::string> feeds_;
  std::string input_, to_, pairs_file_, rename_file_, cast_, graph_;
  std::vector<std::string> shapes_;
  CertificateOptions certificate_;
  bool dry_run_ = false, verify_ = false, no_verify_ = false, no_digest_ = false;
  unsigned jobs_ = 2;
};

}  // namespace

std::unique_ptr<Command> MakeConvert() { return std::make_unique<ConvertCommand>(); }

}  // namespace ckpt::cli
