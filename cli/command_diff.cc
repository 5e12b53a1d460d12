// ckpt diff: compares two checkpoints.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>

#include "ckpt/diff.h"
#include "cli/command.h"
#include "cli/input_pass.h"
#include "cli/name_map.h"
#include "cli/progress.h"
#include "cli/report_json.h"
#include "cli/report_sink.h"
#include "cli/text_table.h"

namespace ckpt::cli {
namespace {

Json SummaryToJson(const CheckpointDiff& diff) {
  return {{"equal", diff.equal},
          {"changed", diff.changed},
          {"added", diff.added},
          {"removed", diff.removed},
          {"retyped", diff.retyped},
          {"reshaped", diff.reshaped},
          {"within_tolerance", diff.within_tolerance},
          {"weights_max_abs", JsonNumber(diff.weights_max_abs)},
          {"statistics_max_abs", JsonNumber(diff.statistics_max_abs)},
          {"bytes_read", diff.bytes_read}};
}

Json BatchNormToJson(const BatchNormDiff& diff) {
  return {{"scope_a", JsonText(diff.scope_a)},
          {"scope_b", JsonText(diff.scope_b)},
          {"equal_as_function", diff.equal_as_function},
          {"max_scale_diff", JsonNumber(diff.max_scale_diff)},
          {"max_shift_diff", JsonNumber(diff.max_shift_diff)},
          {"note", JsonText(diff.note)}};
}

Json SignatureToJson(const Signature& signature) {
  Json json = {
      {"id", signature.id}, {"message", JsonText(signature.message)}, {"subjects", Json::array()}};
  for (const std::string& subject : signature.subjects)
    json["subjects"].push_back(JsonText(subject));
  return json;
}

Json IdenticalToJson(Identical identical) {
  if (identical == Identical::kUnread) return nullptr;
  return identical == Identical::kYes;
}

// What the comparison comes to, and what it rests on.
std::string Verdict(const CheckpointDiff& diff) {
  if (diff.identical == Identical::kYes) return "; identical";
  std::string out;
  if (diff.identical == Identical::kNo && diff.within_tolerance)
    out += "; equal within the tolerance";
  if (diff.by_checksum > 0) {
    out += "; " + Plural(diff.by_checksum, "tensor") + (diff.by_checksum == 1 ? " was" : " were") +
           " compared by stored checksums, the data not read (--bytes reads it)";
  }
  return out;
}

// Do two manifests name the same files?
bool AreSameFiles(const Manifest& a, const Manifest& b) {
  return !a.files.empty() && a.files.size() == b.files.size() &&
         std::equal(a.files.begin(), a.files.end(), b.files.begin(),
                    [](const std::string& x, const std::string& y) {
                      std::error_code ignored;
                      return std::filesystem::equivalent(x, y, ignored);
                    });
}

char Mark(TensorStatus status) {
  switch (status) {
    case TensorStatus::kEqual:
      return ' ';
    case TensorStatus::kChanged:
      return '*';
    case TensorStatus::kAdded:
      return '+';
    case TensorStatus::kRemoved:
      return '-';
    case TensorStatus::kRetyped:
      return 't';
    case TensorStatus::kReshaped:
      return 's';
  }
  return '?';
}

std::string Details(const TensorDiff& diff) {
  std::string out;
  if (diff.status == TensorStatus::kAdded)
    return ToString(diff.shape_b) + " " + std::string(Name(diff.dtype_b));
  if (diff.status == TensorStatus::kRemoved)
    return ToString(diff.shape_a) + " " + std::string(Name(diff.dtype_a));
  if (diff.status == TensorStatus::kReshaped)
    return ToString(diff.shape_a) + " -> " + ToString(diff.shape_b);
  if (diff.status == TensorStatus::kRetyped) {
    out = std::string(Name(diff.dtype_a)) + " -> " + std::string(Name(diff.dtype_b)) + "  ";
  }
  if (diff.by == ComparedBy::kChecksum) return out + "by stored checksum";
  out += "max abs " + FormatNumber(diff.max_abs) + "  max rel " + FormatNumber(diff.max_rel) +
         "  " + std::to_string(diff.differing) + " of " + std::to_string(diff.elements) + " differ";
  if (diff.beyond_tolerance != diff.differing)
    out += ", " + std::to_string(diff.beyond_tolerance) + " beyond tolerance";
  if (diff.non_finite > 0) out += "  " + std::to_string(diff.non_finite) + " not finite";
  return out;
}

// Why a tensor of one file alone is no difference, or may be one after all.
std::string Remark(const TensorDiff& diff) {
  const bool alone = diff.status == TensorStatus::kAdded || diff.status == TensorStatus::kRemoved;
  std::string out = alone ? diff.note : "";
  if (!diff.counts) out += std::string(out.empty() ? "" : "; ") + "does not count";
  return out.empty() ? out : "  (" + out + ")";
}

std::string Pair(const TensorDiff& tensor) {
  std::string name = tensor.name_a.empty() ? tensor.name_b : tensor.name_a;
  if (!tensor.name_b.empty() && tensor.name_b != name) name += " = " + tensor.name_b;
  return EscapeForDisplay(name);
}

// Which tensor was held against which, and how that was found.
std::string MappingToText(const CheckpointDiff& diff) {
  std::string out;
  if (!diff.mapping.empty() && diff.mapping != "names")
    out += "matched by " + EscapeForDisplay(diff.mapping) + "\n";
  if (!diff.across) return out;
  TextTable table("    ");
  for (const TensorDiff& tensor : diff.tensors) {
    if (tensor.name_a.empty() || tensor.name_b.empty()) continue;
    const bool plain = tensor.matched_by == MatchedBy::kName && tensor.reordered.empty();
    if (plain) continue;
    table.AddRow({Pair(tensor), "by " + std::string(Name(tensor.matched_by)),
                  EscapeForDisplay(tensor.reordered)});
  }
  return out + table.ToString();
}

std::string ToText(const CheckpointDiff& diff, const Style& style) {
  std::string out = MappingToText(diff);
  TextTable table("");
  for (const TensorDiff& tensor : diff.tensors) {
    if (tensor.status == TensorStatus::kEqual) continue;
    table.AddRow({std::string(1, Mark(tensor.status)) + " " + Pair(tensor),
                  std::string(Name(tensor.role)), Details(tensor) + Remark(tensor)});
  }
  out += table.ToString();
  for (const BatchNormDiff& layer : diff.batch_norms) {
    if (layer.equal_as_function && layer.note.empty()) continue;
    out += "batch norm " + EscapeForDisplay(layer.scope_a.empty() ? layer.scope_b : layer.scope_a) +
           ": ";
    if (layer.note.starts_with("not compared")) {
      out += EscapeForDisplay(layer.note) + "\n";
      continue;
    }
    out += layer.equal_as_function ? "the same function"
                                   : "scale differs by " + FormatNumber(layer.max_scale_diff) +
                                         ", shift by " + FormatNumber(layer.max_shift_diff);
    out += (layer.note.empty() ? "" : " (" + EscapeForDisplay(layer.note) + ")") + "\n";
  }
  for (const Signature& signature : diff.signatures) {
    out += std::string(style.yellow) + signature.id + std::string(style.reset) + ": " +
           EscapeForDisplay(signature.message) + "\n";
  }
  const bool functions_equal =
      !diff.batch_norms.empty() &&
      std::all_of(diff.batch_norms.begin(), diff.batch_norms.end(),
                  [](const BatchNormDiff& layer) { return layer.equal_as_function; });
  const auto uncounted = std::count_if(diff.tensors.begin(), diff.tensors.end(),
                                       [](const TensorDiff& tensor) { return !tensor.counts; });
  out += std::to_string(diff.equal) + " equal, " + std::to_string(diff.changed) + " changed, " +
         std::to_string(diff.added) + " added, " + std::to_string(diff.removed) + " removed, " +
         std::to_string(diff.retyped) + " retyped, " + std::to_string(diff.reshaped) + " reshaped";
  if (uncounted > 0) out += "; " + std::to_string(uncounted) + " of these do not count";
  if (diff.changed > 0) {
    out += "; largest change in weights " + FormatNumber(diff.weights_max_abs) +
           ", in moving statistics " + FormatNumber(diff.statistics_max_abs);
  }
  if (diff.identical == Identical::kNo && functions_equal)
    out += "; every batch norm computes the same function";
  return out + Verdict(diff) + "\n";
}

class DiffCommand : public Command {
 public:
  void Setup(CLI::App& app) override {
    app.add_option("A", a_, "The first checkpoint")->required();
    app.add_option("B", b_, "The second checkpoint")->required();
    app.add_option("--rtol", diff_.rtol, "Relative tolerance (default 0)")
        ->check(CLI::NonNegativeNumber)
        ->type_name("X");
    app.add_option("--atol", diff_.atol, "Absolute tolerance (default 0)")
        ->check(CLI::NonNegativeNumber)
        ->type_name("X");
    app.add_option("--only", diff_.only, "Compare only tensors that match GLOB (may be repeated)")
        ->allow_extra_args(false)
        ->type_name("GLOB");
    app.add_option("--ignore", diff_.ignore, "Leave out tensors that match GLOB (may be repeated)")
        ->allow_extra_args(false)
        ->type_name("GLOB");
    app.add_flag("--ignore-training-state", diff_.ignore_training_state,
                 "Leave out optimizer slots, shadows, steps and counters");
    app.add_option("--rename", rename_file_, "JSON file {\"name in A\": \"name in B\"}")
        ->type_name("FILE");
    app.add_flag("--bytes", diff_.bytes, "Read everything: never trust stored checksums");
    app.add_option("--epsilon", analysis_.epsilon,
                   "Epsilon of batch norms for which nothing records one")
        ->check(CLI::NonNegativeNumber)
        ->type_name("X");
    AddInputOptions(app, options_, nullptr);
    AddReportOptions(app, options_);
  }

  ExitCode Run() override {
    if (Status status = CheckCommonOptions(options_); !status) return Complain(status.error());
    if (!rename_file_.empty()) {
      auto rename = ReadNameMap(*options_.read, rename_file_);
      if (!rename) return Complain(rename.error());
      diff_.rename = std::move(rename->names);
    }
    auto sink = OpenReport(options_);
    if (!sink) return Complain(sink.error());
    const Result<CheckpointDiff> diff = Compare();
    ExitCode code = ExitCode::kClean;
    if (!diff) {
      code = Complain(diff.error());
    } else if (!diff->within_tolerance) {
      code = ExitCode::kFindings;
    }
    Status status = Emit(diff, **sink);
    if (status) status = (*sink)->Finish();
    return status ? code : std::max(code, Complain(status.error()));
  }

 private:
  Result<CheckpointDiff> Compare() {
    CKPT_ASSIGN_OR_RETURN(const OpenedInput a, OpenInput(a_, options_, analysis_));
    CKPT_ASSIGN_OR_RETURN(const OpenedInput b, OpenInput(b_, options_, analysis_));
    const ProgressCheckpoint counted(*a.checkpoint, "diff", options_.quiet);
    DiffOptions options = diff_;
    options.same_file = AreSameFiles(a.checkpoint->manifest(), b.checkpoint->manifest());
    return Diff(counted, a.analysis, *b.checkpoint, b.analysis, options);
  }

  Status Emit(const Result<CheckpointDiff>& diff, ReportSink& sink) const {
    if (options_.format == ReportFormat::kText) {
      if (!diff || (options_.quiet && diff->within_tolerance)) return {};
      return sink.Write(ToText(*diff, StyleFor(options_)));
    }
    Json head = {{"schema", "ckpt.diff/1"}, {"a", JsonText(a_)}, {"b", JsonText(b_)}};
    head["status"] = diff ? "ok" : "error";
    head["error"] = diff ? Json(nullptr) : JsonError(diff.error());
    if (!diff) return sink.Write(Dump(head, options_.format == ReportFormat::kJson));
    head["identical"] = IdenticalToJson(diff->identical);
    head["mapping"] = JsonText(diff->mapping);
    Json batch_norm = Json::array(), signatures = Json::array();
    for (const BatchNormDiff& layer : diff->batch_norms)
      batch_norm.push_back(BatchNormToJson(layer));
    for (const Signature& signature : diff->signatures)
      signatures.push_back(SignatureToJson(signature));
    if (options_.format == ReportFormat::kJson) {
      head["tensors"] = Json::array();
      for (const TensorDiff& tensor : diff->tensors)
        head["tensors"].push_back(JsonTensorDiff(tensor));
      head["batch_norm"] = std::move(batch_norm);
      head["signatures"] = std::move(signatures);
      head["summary"] = SummaryToJson(*diff);
      return sink.Write(Dump(head, true));
    }
    for (const TensorDiff& tensor : diff->tensors) {
      Json line = {{"schema", "ckpt.diff/1"}, {"type", "tensor"}};
      line.update(JsonTensorDiff(tensor));
      CKPT_RETURN_IF_ERROR(sink.Write(Dump(line, false)));
    }
    head["type"] = "summary";
    head["batch_norm"] = std::move(batch_norm);
    head["signatures"] = std::move(signatures);
    head["summary"] = SummaryToJson(*diff);
    return sink.Write(Dump(head, false));
  }

  CommonOptions options_;
  AnalysisOptions analysis_;
  DiffOptions diff_;
  std::string a_, b_, rename_file_;
};

}  // namespace

std::unique_ptr<Command> MakeDiff() { return std::make_unique<DiffCommand>(); }

}  // namespace ckpt::cli
