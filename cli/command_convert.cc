// ckpt convert: writes a serving-ready file.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>

#include "cli/command.h"
#include "cli/conversion.h"
#include "cli/input_pass.h"
#include "cli/name_map.h"
#include "cli/progress.h"
#include "cli/report_sink.h"
#include "cli/text_table.h"

namespace ckpt::cli {
namespace {

Json FoldedToJson(const Folded& folded) {
  Json json = {{"batch_norm", JsonText(folded.batch_norm)}};
  json["into"] = Json::array();
  for (const std::string& kernel : folded.into) json["into"].push_back(JsonText(kernel));
  json["direction"] = Name(folded.direction);
  json["epsilon"] = JsonSourced(folded.epsilon);
  json["evidence"] = JsonEvidence(folded.evidence);
  json["error_bound"] = JsonNumber(folded.error_bound);
  return json;
}

// The lists of a plan, as the report and the record show them.
void AddPlan(Json& json, const ConversionPlan& plan) {
  json["folded"] = json["kept"] = json["dropped"] = Json::array();
  for (const Folded& folded : plan.folded) json["folded"].push_back(FoldedToJson(folded));
  for (const Kept& kept : plan.kept) {
    json["kept"].push_back({{"batch_norm", JsonText(kept.batch_norm)},
                            {"reason", JsonText(kept.reason)},
                            {"affine", kept.affine}});
  }
  for (const Dropped& dropped : plan.dropped) {
    json["dropped"].push_back(
        {{"name", JsonText(dropped.name)}, {"reason", JsonText(dropped.reason)}});
  }
  json["renamed"] = Json::object();
  for (const auto& [from, to] : plan.renamed)
    json["renamed"][JsonText(from).get<std::string>()] = JsonText(to);
  json["notes"] = JsonTexts(plan.notes);
}

std::string Join(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "" : ", ") + EscapeForDisplay(name);
  return out;
}

constexpr std::size_t kNamedLayers = 4;  // more layers with one reason are counted, not named

std::string PlanToText(const ConversionPlan& plan, const Style& style) {
  std::string out;
  TextTable folded("  ");
  for (const Folded& fold : plan.folded) {
    folded.AddRow({"folded " + EscapeForDisplay(fold.batch_norm),
                   std::string(Name(fold.direction)) + " into " + Join(fold.into),
                   "epsilon " + FormatNumber(fold.epsilon.value) + " (" +
                       std::string(Name(fold.epsilon.evidence.source)) + ")",
                   "error bound " + FormatNumber(fold.error_bound)});
  }
  out += folded.ToString();
  std::map<std::string, std::vector<std::string>> kept, dropped;
  for (const Kept& layer : plan.kept) {
    kept[(layer.affine ? "as one scale and one offset per channel: " : "") + layer.reason]
        .push_back(layer.batch_norm);
  }
  for (const auto& [reason, scopes] : kept) {
    out += "  " + std::string(style.yellow) + "kept" + std::string(style.reset) + " " +
           (scopes.size() <= kNamedLayers ? Join(scopes) : Plural(scopes.size(), "batch norm")) +
           ": " + EscapeForDisplay(reason) + "\n";
  }
  // "optimizer state of \"w\"" is one kind for every w.
  for (const Dropped& tensor : plan.dropped) {
    dropped[tensor.reason.substr(0, tensor.reason.find(" of \""))].push_back(tensor.name);
  }
  for (const auto& [reason, names] : dropped) {
    out += "  dropped " + Plural(names.size(), "tensor") + ": " + EscapeForDisplay(reason) + "\n";
  }
  if (!plan.renamed.empty()) out += "  renamed " + Plural(plan.renamed.size(), "tensor") + "\n";
  for (const std::string& note : plan.notes) out += "  " + EscapeForDisplay(note) + "\n";
  return out;
}

class ConvertCommand : public Command {
 public:
  void Setup(CLI::App& app) override {
    app.add_option("INPUT", input_, "The checkpoint to convert")->required();
    app.add_option("OUTPUT", target_.path, "The file to write")->required();
    app.add_option("--to", to_, "Format of OUTPUT (default: by its suffix)")->type_name("NAME");
    const std::map<std::string, bool> folds = {{"fold", true}, {"preserve", false}};
    app.add_option("--bn", convert_.fold.fold,
                   "fold batch norms into their neighbours, or preserve them (default)")
        ->transform(CLI::CheckedTransformer(folds))
        ->type_name("MODE");
    const std::map<std::string, bool> leftovers = {{"affine", true}, {"keep", false}};
    app.add_option("--leftover", convert_.fold.leftover_affine,
                   "What becomes of a batch norm that cannot be folded: keep it, or reduce it to "
                   "one scale and one "
                   "offset per channel (affine)")
        ->transform(CLI::CheckedTransformer(leftovers))
        ->type_name("MODE");
    auto* pairs =
        app.add_option("--pairs", pairs_file_, "JSON file that ties batch norms to kernels")
            ->type_name("FILE");
    auto* by_order =
        app.add_flag("--pair-by-order", convert_.fold.pair_by_order,
                     "Tie each batch norm to the kernel before it in the file's order");
    auto* by_name =
        app.add_flag("--pair-by-name", convert_.fold.pair_by_name,
                     "Tie batch norms to kernels of corresponding names (conv2 and bn2)");
    pairs->excludes(by_order)->excludes(by_name);
    by_order->excludes(by_name);
    app.add_option("--graph", graph_,
                   "A file whose model graph is evidence for an input without one")
        ->type_name("FILE");
    app.add_option("--epsilon", analysis_.epsilon,
                   "Epsilon of batch norms for which nothing records one")
        ->check(CLI::NonNegativeNumber)
        ->type_name("X");
    app.add_option("--momentum", analysis_.momentum,
                   "Decay of layers for which nothing records one (Keras' sense)")
        ->check(CLI::Range(0.0, 1.0))
        ->type_name("X");
    app.add_flag("--keep-training-state", convert_.keep_training_state,
                 "Keep optimizer slots, shadows and steps");
    app.add_flag("--ema", convert_.use_ema,
                 "Write the moving averages of the weights instead of the weights");
    app.add_option("--rename", rename_file_, "JSON file {\"old name\": \"new name\"}")
        ->type_name("FILE");
    app.add_option("--cast", cast_, "Convert floating tensors to this type")->type_name("DTYPE");
    app.add_flag(
        "--allow-findings", convert_.allow_findings,
        "Write what is there although the audit found errors; such layers are never folded");
    app.add_flag("--strict", convert_.fold.strict, "Refuse kept layers and assumed epsilons");
    app.add_flag("--dry-run", dry_run_, "Print the plan, write nothing");
    app.add_flag("--force", target_.replace, "Replace OUTPUT if it exists");
    app.add_option("--record", target_.record_path,
                   "Where to write the record (default OUTPUT.ckpt.json)")
        ->type_name("FILE");
    AddInputOptions(app, options_, nullptr);
    AddReportOptions(app, options_);
  }

  ExitCode Run() override {
    if (Status status = Prepare(); !status) return Complain(status.error());
    auto sink = OpenReport(options_);
    if (!sink) return Complain(sink.error());
    Json report = {{"schema", "ckpt.convert/1"},
                   {"input", JsonText(input_)},
                   {"output", JsonText(target_.path)}};
    std::string text;
    Status status = Work(report, text);
    if (!status && status.error().file.empty()) {
      Error error = status.error();
      error.file = input_;
      status = Fail(std::move(error));
    }
    ExitCode code = status ? ExitCode::kClean : Complain(status.error());
    report["status"] = status ? "ok" : "error";
    report["error"] = status ? Json(nullptr) : JsonError(status.error());
    if (options_.format != ReportFormat::kText) {
      text = Dump(report, options_.format == ReportFormat::kJson);
    } else if (options_.quiet) {
      text.clear();
    }
    Status printed = (*sink)->Write(text);
    if (printed) printed = (*sink)->Finish();
    return printed ? code : std::max(code, Complain(printed.error()));
  }

 private:
  // Everything that needs no input: usage errors come before any work.
  Status Prepare() {
    CKPT_RETURN_IF_ERROR(CheckCommonOptions(options_));
    target_.format =
        to_.empty() ? formats::FormatForOutput(target_.path) : formats::FindFormat(to_);
    if (target_.format == nullptr) {
      return Fail(ErrorCode::kInvalidArgument,
                  to_.empty() ? "the suffix of \"" + target_.path + "\" names no format; give --to"
                              : "--to: unknown format \"" + to_ + "\"");
    }
    if (target_.record_path.empty()) target_.record_path = target_.path + ".ckpt.json";
    if (!cast_.empty()) {
      convert_.cast = DtypeFromName(cast_);
      if (!convert_.cast || !IsFloat(*convert_.cast)) {
        return Fail(ErrorCode::kInvalidArgument,
                    "--cast: \"" + cast_ + "\" is no floating type; try float32 or float16");
      }
    }
    if (!rename_file_.empty()) {
      CKPT_ASSIGN_OR_RETURN(convert_.rename, ReadNameMap(rename_file_));
    }
    if (!pairs_file_.empty()) {
      CKPT_ASSIGN_OR_RETURN(convert_.fold.pairs, ReadPairs(pairs_file_));
    }
    return {};
  }

  Status Work(Json& report, std::string& text) {
    CKPT_ASSIGN_OR_RETURN(const OpenedInput input, OpenInput(input_, options_, analysis_, graph_));
    const Checkpoint& source = *input.checkpoint;
    report["resolved"] = JsonText(source.manifest().resolved);
    report["from"] = source.format();
    report["to"] = target_.format->name;
    CKPT_RETURN_IF_ERROR(CheckTarget(target_, source.manifest()));
    const AuditResult audit = ckpt::Audit(source, input.analysis, {});
    CKPT_ASSIGN_OR_RETURN(const ConversionPlan plan,
                          PlanConversion(source, input.analysis, audit, convert_));
    CKPT_RETURN_IF_ERROR(CheckHeld(target_, plan));
    AddPlan(report, plan);
    text = EscapeForDisplay(input_) + " (" + std::string(source.format()) + ") -> " +
           EscapeForDisplay(target_.path) + " (" + std::string(target_.format->name) + ")\n";
    for (const std::string& note : NotesOf(source)) text += "  " + EscapeForDisplay(note) + "\n";
    text += PlanToText(plan, StyleFor(options_));
    if (dry_run_) {
      text += "  dry run: " + Plural(plan.tensors.size(), "tensor") + " would be written\n";
      report["dry_run"] = true;
      report["record"] = nullptr;
      return {};
    }
    Json record = {{"schema", "ckpt.record/1"}, {"tool", "ckpt " CKPT_VERSION}};
    record.update(report);
    record["schema"] = "ckpt.record/1";
    const ProgressCheckpoint counted(source, "convert", options_.quiet);
    CKPT_ASSIGN_OR_RETURN(const ConversionOutcome outcome,
                          Convert(counted, plan, target_, std::move(record)));
    report["record"] = JsonText(target_.record_path);
    text += "  wrote " + Plural(plan.tensors.size(), "tensor") + ", " + FormatBytes(outcome.bytes) +
            ", read back and checked; record in " + EscapeForDisplay(target_.record_path) + "\n";
    return {};
  }

  CommonOptions options_;
  AnalysisOptions analysis_;
  ConvertOptions convert_;
  ConversionTarget target_;
  std::string input_, to_, pairs_file_, rename_file_, cast_, graph_;
  bool dry_run_ = false;
};

}  // namespace

std::unique_ptr<Command> MakeConvert() { return std::make_unique<ConvertCommand>(); }

}  // namespace ckpt::cli
