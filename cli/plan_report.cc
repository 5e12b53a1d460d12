#include "cli/plan_report.h"

#include <map>
#include <vector>

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

}  // namespace

Json WrittenBatchNorms(const ConversionPlan& plan) {
  Json layers = Json::array();
  for (const WrittenBatchNorm& layer : plan.batch_norms) {
    layers.push_back({{"scope", JsonText(layer.scope)},
                      {"epsilon", JsonSourced(layer.epsilon)},
                      {"momentum", JsonSourced(layer.momentum)}});
  }
  return layers;
}

void AddPlan(Json& json, const ConversionPlan& plan) {
  json["folded"] = json["kept"] = json["changed"] = json["dropped"] = Json::array();
  for (const Folded& folded : plan.folded) json["folded"].push_back(FoldedToJson(folded));
  for (const Kept& kept : plan.kept) {
    json["kept"].push_back({{"batch_norm", JsonText(kept.batch_norm)},
                            {"reason", JsonText(kept.reason)},
                            {"affine", kept.affine}});
  }
  for (const Changed& changed : plan.changed) {
    json["changed"].push_back(
        {{"batch_norm", JsonText(changed.batch_norm)}, {"reason", JsonText(changed.reason)}});
  }
  for (const Dropped& dropped : plan.dropped) {
    json["dropped"].push_back(
        {{"name", JsonText(dropped.name)}, {"reason", JsonText(dropped.reason)}});
  }
  json["renamed"] = Json::object();
  for (const auto& [from, to] : plan.renamed)
    json["renamed"][JsonText(from).get<std::string>()] = JsonText(to);
  if (plan.names) {
    json["names"] = Name(*plan.names);
    json["reordered"] = Json::object();
    for (const auto& [name, how] : plan.reordered)
      json["reordered"][JsonText(name).get<std::string>()] = JsonText(how);
    json["batch_norm"] = WrittenBatchNorms(plan);
  }
  json["notes"] = JsonTexts(plan.notes);
}

namespace {

std::string Join(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "" : ", ") + EscapeForDisplay(name);
  return out;
}

constexpr std::size_t kNamedLayers = 4;  // more layers with one reason are counted, not named

// Epsilons and momenta in the words of the framework that is to load the output.
std::string BatchNormsToText(const ConversionPlan& plan) {
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

}  // namespace

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
  for (const Changed& layer : plan.changed) {
    out += "  " + std::string(style.yellow) + "changed" + std::string(style.reset) + " " +
           EscapeForDisplay(layer.batch_norm) + ": " + EscapeForDisplay(layer.reason) + "\n";
  }
  // "optimizer state of \"w\"" is one kind for every w.
  for (const Dropped& tensor : plan.dropped) {
    dropped[tensor.reason.substr(0, tensor.reason.find(" of \""))].push_back(tensor.name);
  }
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

namespace {

Json SignatureToJson(const OpSignature& signature) {
  Json out = {{"name", JsonText(signature.name)}};
  out["inputs"] = out["outputs"] = Json::object();
  for (const auto& [key, tensor] : signature.inputs)
    out["inputs"][JsonText(key).get<std::string>()] = JsonText(tensor);
  for (const auto& [key, tensor] : signature.outputs)
    out["outputs"][JsonText(key).get<std::string>()] = JsonText(tensor);
  return out;
}

}  // namespace

void AddSignatures(Json& json, const OpGraph& source, const OpGraph& written,
                   const std::vector<Dropped>& dropped) {
  json["signature"] = SignatureToJson(written.signatures.front());
  json["signatures"] = json["dropped_signatures"] = json["other_graphs"] = Json::array();
  for (const auto& tags : source.other_graphs)
    json["other_graphs"].push_back({{"tags", JsonTexts(tags)}});
  for (const OpSignature& signature : written.signatures)
    json["signatures"].push_back(SignatureToJson(signature));
  for (const Dropped& signature : dropped) {
    json["dropped_signatures"].push_back(
        {{"name", JsonText(signature.name)}, {"reason", JsonText(signature.reason)}});
  }
}

std::string SignaturesToText(const OpGraph& written, const std::vector<Dropped>& dropped,
                             const Style& style) {
  std::string out;
  for (const OpSignature& signature : written.signatures) {
    std::vector<std::string> inputs, outputs;
    for (const auto& [key, tensor] : signature.inputs) inputs.push_back(tensor);
    for (const auto& [key, tensor] : signature.outputs) outputs.push_back(tensor);
    out += "  serves " + EscapeForDisplay(signature.name) + ": " + Join(inputs) + " -> " +
           Join(outputs) + "\n";
  }
  for (const Dropped& signature : dropped) {
    out += "  " + std::string(style.yellow) + "dropped" + std::string(style.reset) +
           " the signature " + EscapeForDisplay(signature.name) + ": " +
           EscapeForDisplay(signature.reason) + "\n";
  }
  return out;
}

}  // namespace ckpt::cli
