#include <algorithm>
#include <map>

#include "cli/report/collapsed_names.h"
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

std::string EpsilonOf(const Folded& fold) {
  return "epsilon " + FormatNumber(fold.epsilon.value) + " (" +
         std::string(Name(fold.epsilon.evidence.source)) + ")";
}

// Each layer with the kernels that took it.
std::string EachFold(const PlanReport& plan) {
  TextTable table("  ");
  for (const Folded& fold : plan.folded) {
    table.AddRow({"folded " + EscapeForDisplay(fold.batch_norm),
                  std::string(Name(fold.direction)) + " into " + Join(fold.into), EpsilonOf(fold),
                  "error <= " + ThreeDigits(fold.error_bound) + " for |x| <= 1"});
  }
  return table.ToString();
}

// Repeated layers in one line each.
std::string FoldsTogether(const PlanReport& plan, const FormOptions& options) {
  std::vector<std::string> kinds;
  for (const Folded& fold : plan.folded)
    kinds.push_back(std::string(Name(fold.direction)) + "  " + EpsilonOf(fold));
  std::vector<NamedThing> things;
  for (std::size_t i = 0; i < kinds.size(); ++i)
    things.push_back({plan.folded[i].batch_norm, kinds[i]});
  const std::vector<CollapsedName> lines = CollapseNames(things);
  TextTable table("  ");
  std::size_t listed = 0;
  for (std::size_t i = 0; i < std::min(options.MostLines(), lines.size()); ++i) {
    const auto& [name, members] = lines[i];
    double bound = 0;
    for (const std::size_t member : members)
      bound = std::max(bound, plan.folded[member].error_bound);
    listed += members.size();
    table.AddRow({"folded " + name, Plural(members.size(), "batch norm"), kinds[members.front()],
                  "error <= " + ThreeDigits(bound) + " for |x| <= 1"});
  }
  return table.ToString() + More(listed, plan.folded.size(), "batch norm") +
         "  -v lists each batch norm with what it was folded into\n";
}

std::string FoldedToText(const PlanReport& plan, const FormOptions& options) {
  const bool many = plan.folded.size() > kMostNamesInFull && !options.full;
  return many ? FoldsTogether(plan, options) : EachFold(plan);
}

// One line for each reason: "WORD bn1, bn2: reason".
std::string ByReason(std::string_view word,
                     const std::map<std::string, std::vector<std::string>>& layers,
                     const FormOptions& options) {
  std::string out;
  std::size_t lines = 0, listed = 0, all = 0;
  for (const auto& [reason, scopes] : layers) {
    all += scopes.size();
    if (++lines > options.MostLines()) continue;
    listed += scopes.size();
    const bool named = scopes.size() <= kNamedLayers || options.full;
    out += "  " + Painted(word, options.style.yellow, options.style) + " " +
           (named ? Join(scopes) : Plural(scopes.size(), "batch norm")) + ": " +
           EscapeForDisplay(reason) + "\n";
  }
  return out + More(listed, all, "batch norm");
}

std::string DroppedToText(const PlanReport& plan, const FormOptions& options) {
  // The optimizer state of "w" is one kind for every w.
  std::map<std::string, std::vector<std::string>> dropped;
  for (const Dropped& tensor : plan.dropped) dropped[tensor.reason].push_back(tensor.name);
  std::string out;
  std::size_t lines = 0, listed = 0;
  for (const auto& [reason, names] : dropped) {
    if (++lines > options.MostLines()) break;
    listed += names.size();
    out += "  dropped " + Plural(names.size(), "tensor") + ": " + EscapeForDisplay(reason) + "\n";
    if (options.full) out += "    " + Join(names) + "\n";
  }
  return out + More(listed, plan.dropped.size(), "tensor");
}

std::string PlanToText(const PlanReport& plan, const FormOptions& options) {
  std::map<std::string, std::vector<std::string>> kept, changed;
  for (const Kept& layer : plan.kept) {
    kept[(layer.affine ? "as one scale and one offset per channel: " : "") + layer.reason]
        .push_back(layer.batch_norm);
  }
  for (const Changed& layer : plan.changed) changed[layer.reason].push_back(layer.batch_norm);
  std::string out = FoldedToText(plan, options) + ByReason("kept", kept, options) +
                    ByReason("changed", changed, options) + DroppedToText(plan, options);
  if (!plan.renamed.empty()) out += "  renamed " + Plural(plan.renamed.size(), "tensor") + "\n";
  if (!plan.reordered.empty()) {
    out += "  put " + Plural(plan.reordered.size(), "kernel") + " in another layout\n";
  }
  out += BatchNormsToText(plan);
  constexpr std::size_t kMostNotes = 20;
  const std::size_t listed =
      std::min(options.full ? options.MostLines() : kMostNotes, plan.notes.size());
  for (std::size_t i = 0; i < listed; ++i) out += "  " + EscapeForDisplay(plan.notes[i]) + "\n";
  return out + More(listed, plan.notes.size(), "note");
}

// "images:0", or "logits=head/BiasAdd:0" where callers call it something else.
std::string Called(const std::string& key, const std::string& tensor) {
  return tensor == key + ":0" ? tensor : key + "=" + tensor;
}

std::string ServedToText(const ServedReport& served, const FormOptions& options) {
  std::string out;
  const std::size_t listed = std::min(options.MostLines(), served.signatures.size());
  for (std::size_t i = 0; i < listed; ++i) {
    const OpSignature& signature = served.signatures[i];
    std::vector<std::string> inputs, outputs;
    for (const auto& [key, tensor] : signature.inputs) inputs.push_back(Called(key, tensor));
    for (const auto& [key, tensor] : signature.outputs) outputs.push_back(Called(key, tensor));
    out += "  serves " + EscapeForDisplay(signature.name) + ": " + Join(inputs) + " -> " +
           Join(outputs) + "\n";
  }
  out += More(listed, served.signatures.size(), "signature");
  const std::size_t left_out = std::min(options.MostLines(), served.dropped.size());
  for (std::size_t i = 0; i < left_out; ++i) {
    out += "  " + Painted("dropped", options.style.yellow, options.style) + " the signature " +
           EscapeForDisplay(served.dropped[i].name) + ": " +
           EscapeForDisplay(served.dropped[i].reason) + "\n";
  }
  return out + More(left_out, served.dropped.size(), "signature");
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

std::string ToText(const CalibrationReport& calibration, const FormOptions& options) {
  std::string out;
  for (const DataRange& range : calibration.inputs) out += ToText(range);
  const std::size_t listed = std::min(options.MostLines(), calibration.layers.size());
  for (std::size_t i = 0; i < listed; ++i) {
    const CalibratedNorm& layer = calibration.layers[i];
    if (!calibration.taken_from.empty()) {
      out += "  took the statistics of " + EscapeForDisplay(layer.scope) + " from " +
             EscapeForDisplay(calibration.taken_from) + ", means moved by " +
             FormatNumber(layer.mean_shift) + " deviations at most\n";
      continue;
    }
    out += "  calibrated " + EscapeForDisplay(layer.scope) + "  " +
           Plural(calibration.examples, "example") + ", " + std::to_string(layer.elements) +
           " elements a channel, variance " + std::string(Name(layer.variance)) +
           ", means moved by " + FormatNumber(layer.mean_shift) + " deviations at most";
    if (layer.constant_channels > 0) {
      out += "; constant in these data: " + Plural(layer.constant_channels, "channel");
    }
    out += "\n";
  }
  out += More(listed, calibration.layers.size(), "batch norm");
  if (calibration.few) {
    out += "  warning: " + Plural(calibration.examples, "example") +
           " are few: a mean is uncertain by up to 1/sqrt(" + std::to_string(calibration.examples) +
           ") deviations\n";
  }
  return out;
}

}  // namespace

std::string ToText(const Conversion& conversion, const FormOptions& options) {
  if (!conversion.formats || !conversion.plan) return {};
  const Conversion::Formats& formats = *conversion.formats;
  const std::string tensors = Plural(conversion.plan->tensors, "tensor");
  std::string out = EscapeForDisplay(conversion.input) + " (" + std::string(formats.from) +
                    ") -> " + EscapeForDisplay(conversion.output) + " (" + std::string(formats.to) +
                    ")\n";
  for (const std::string& note : formats.notes) out += "  " + EscapeForDisplay(note) + "\n";
  if (conversion.served) out += ServedToText(*conversion.served, options);
  if (conversion.calibration) out += ToText(*conversion.calibration, options);
  out += PlanToText(*conversion.plan, options);
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
