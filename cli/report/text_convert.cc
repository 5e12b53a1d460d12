#include <map>

#include "cli/report/text_pieces.h"
#include "cli/report/text_table.h"

namespace ckpt::cli {
namespace {

std::string Join(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "" : ", ") + EscapeForDisplay(name);
  return out;
}

constexpr std::size_t kNamedLayers = 4;  // more layers with one reason are counted, not named

// Epsilons and momenta in the words of the framework that is to load the output.
std::string BatchNormsToText(const PlanReport& plan) {
  std::map<std::string, std::vector<std::string>> layers;
  const bool torch = plan.names == Framework::kPyTorch;
  const auto number = [](const char* name, const SourcedNumber& value, double shown) {
    return std::string(name) + " " + FormatNumber(shown) + " (" +
           std::string(Name(value.evidence.source)) + ")";
  };
  for (const WrittenBatchNorm& layer : plan.batch_norms) {
    const std::string epsilon =
        layer.epsilon ? number(torch ? "eps" : "epsilon", *layer.epsilon, layer.epsilon->value)
                      : "epsilon not known";
    const std::string momentum =
        layer.momentum ? number("momentum", *layer.momentum,
                                torch ? 1 - layer.momentum->value : layer.momentum->value)
                       : "momentum not known";
    layers[epsilon + ", " + momentum].push_back(layer.scope);
  }
  std::string out;
  for (const auto& [numbers, scopes] : layers) {
    out += "  build " +
           (scopes.size() <= kNamedLayers ? Join(scopes) : Plural(scopes.size(), "batch norm")) +
           " with " + numbers + "\n";
  }
  return out;
}

std::string PlanToText(const PlanReport& plan, const Style& style) {
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
  for (const Changed& layer : plan.changed) {
    out += "  " + std::string(style.yellow) + "changed" + std::string(style.reset) + " " +
           EscapeForDisplay(layer.batch_norm) + ": " + EscapeForDisplay(layer.reason) + "\n";
  }
  // The optimizer state of "w" is one kind for every w.
  for (const Dropped& tensor : plan.dropped) dropped[tensor.reason].push_back(tensor.name);
  for (const auto& [reason, names] : dropped) {
    out += "  dropped " + Plural(names.size(), "tensor") + ": " + EscapeForDisplay(reason) + "\n";
  }
  if (!plan.renamed.empty()) out += "  renamed " + Plural(plan.renamed.size(), "tensor") + "\n";
  if (!plan.reordered.empty()) {
    out += "  put " + Plural(plan.reordered.size(), "kernel") + " in another layout\n";
  }
  out += BatchNormsToText(plan);
  for (const std::string& note : plan.notes) out += "  " + EscapeForDisplay(note) + "\n";
  return out;
}

std::string ServedToText(const ServedReport& served, const Style& style) {
  std::string out;
  for (const OpSignature& signature : served.signatures) {
    std::vector<std::string> inputs, outputs;
    for (const auto& [key, tensor] : signature.inputs) inputs.push_back(tensor);
    for (const auto& [key, tensor] : signature.outputs) outputs.push_back(tensor);
    out += "  serves " + EscapeForDisplay(signature.name) + ": " + Join(inputs) + " -> " +
           Join(outputs) + "\n";
  }
  for (const Dropped& signature : served.dropped) {
    out += "  " + std::string(style.yellow) + "dropped" + std::string(style.reset) +
           " the signature " + EscapeForDisplay(signature.name) + ": " +
           EscapeForDisplay(signature.reason) + "\n";
  }
  return out;
}

// "audit: 1 warning (BN011)", "audit: clean".
std::string OutputAuditToText(const OutputAudit& audit) {
  if (audit.counts.errors == 0 && audit.counts.warnings == 0) return "audit: clean";
  std::string text = "audit: ";
  if (audit.counts.errors != 0) text += Plural(audit.counts.errors, "error");
  if (audit.counts.errors != 0 && audit.counts.warnings != 0) text += ", ";
  if (audit.counts.warnings != 0) text += Plural(audit.counts.warnings, "warning");
  const char* separator = " (";
  for (const std::string& rule : audit.rules) {
    text += separator + rule;
    separator = ", ";
  }
  return text + ")";
}

}  // namespace

std::string ToText(const DataRange& range) {
  return "  input \"" + EscapeForDisplay(range.input) + "\": from " + FormatNumber(range.least) +
         " to " + FormatNumber(range.most) + ", mean " + FormatNumber(range.mean) + ", deviation " +
         FormatNumber(range.deviation) + "\n";
}

namespace {

// "verified: same up to rounding, 12 steps compared".
std::string ToText(const Certificate::Signature& signature) {
  const std::string of =
      signature.name.empty() ? "" : " (" + EscapeForDisplay(signature.name) + ")";
  if (!signature.not_verified.empty()) {
    return "  not verified" + of + ": " + EscapeForDisplay(signature.not_verified) + "\n";
  }
  return "  verified" + of + ": " + std::string(Name(signature.verification.verdict)) + ", " +
         Plural(signature.verification.steps_compared, "step") + " compared\n";
}

std::string ToText(const CalibrationReport& calibration) {
  std::string out;
  for (const DataRange& range : calibration.inputs) out += ToText(range);
  for (const CalibratedNorm& layer : calibration.layers) {
    if (!calibration.taken_from.empty()) {
      out += "  took the statistics of " + EscapeForDisplay(layer.scope) + " from " +
             EscapeForDisplay(calibration.taken_from) + ", means moved by " +
             FormatNumber(layer.mean_shift) + " deviations at most\n";
      continue;
    }
    out += "  calibrated " + EscapeForDisplay(layer.scope) + "  " +
           Plural(calibration.examples, "example") + ", " + std::to_string(layer.elements) +
           " elements a channel, variance " + std::string(Name(layer.variance)) +
           ", means moved by " + FormatNumber(layer.mean_shift) + " deviations at most\n";
  }
  if (calibration.few) {
    out += "  warning: " + Plural(calibration.examples, "example") +
           " are few: a mean is uncertain by up to 1/sqrt(" + std::to_string(calibration.examples) +
           ") deviations\n";
  }
  return out;
}

}  // namespace

std::string ToText(const Conversion& conversion, const FormOptions& options) {
  const Style& style = options.style;
  if (!conversion.formats || !conversion.plan) return {};
  const Conversion::Formats& formats = *conversion.formats;
  const std::string tensors = Plural(conversion.plan->tensors, "tensor");
  std::string out = EscapeForDisplay(conversion.input) + " (" + std::string(formats.from) +
                    ") -> " + EscapeForDisplay(conversion.output) + " (" + std::string(formats.to) +
                    ")\n";
  for (const std::string& note : formats.notes) out += "  " + EscapeForDisplay(note) + "\n";
  if (conversion.served) out += ServedToText(*conversion.served, style);
  if (conversion.calibration) out += ToText(*conversion.calibration);
  out += PlanToText(*conversion.plan, style);
  if (conversion.dry_run) out += "  dry run: " + tensors + " would be written; not verified\n";
  if (conversion.written) {
    out += "  wrote " + tensors + ", " + FormatBytes(conversion.written->bytes) +
           ", read back and checked; record in " + EscapeForDisplay(conversion.written->record) +
           "\n";
    if (conversion.certificate) {
      for (const auto& signature : conversion.certificate->signatures) out += ToText(signature);
    }
    if (conversion.audit) out += "  " + OutputAuditToText(*conversion.audit) + "\n";
  }
  return out;
}

}  // namespace ckpt::cli
