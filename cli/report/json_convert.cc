#include "cli/report/json_pieces.h"

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

Json WrittenBatchNorms(const PlanReport& plan) {
  Json layers = Json::array();
  for (const WrittenBatchNorm& layer : plan.batch_norms) {
    layers.push_back({{"scope", JsonText(layer.scope)},
                      {"epsilon", JsonSourced(layer.epsilon)},
                      {"momentum", JsonSourced(layer.momentum)}});
  }
  return layers;
}

void AddPlan(Json& json, const PlanReport& plan) {
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
        {{"name", JsonText(dropped.name)}, {"reason", JsonText(InWords(dropped))}});
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

Json SignatureToJson(const OpSignature& signature) {
  Json out = {{"name", JsonText(signature.name)}};
  out["inputs"] = out["outputs"] = Json::object();
  for (const auto& [key, tensor] : signature.inputs)
    out["inputs"][JsonText(key).get<std::string>()] = JsonText(tensor);
  for (const auto& [key, tensor] : signature.outputs)
    out["outputs"][JsonText(key).get<std::string>()] = JsonText(tensor);
  return out;
}

void AddServed(Json& json, const ServedReport& served) {
  json["signature"] = SignatureToJson(served.signatures.front());
  json["signatures"] = json["dropped_signatures"] = json["other_graphs"] = Json::array();
  for (const auto& tags : served.other_graphs)
    json["other_graphs"].push_back({{"tags", JsonTexts(tags)}});
  for (const OpSignature& signature : served.signatures)
    json["signatures"].push_back(SignatureToJson(signature));
  for (const Dropped& signature : served.dropped) {
    json["dropped_signatures"].push_back(
        {{"name", JsonText(signature.name)}, {"reason", JsonText(signature.reason)}});
  }
}

Json CalibratedToJson(const CalibrationReport& calibration) {
  Json layers = Json::array();
  for (const CalibratedNorm& layer : calibration.layers) {
    layers.push_back({{"batch_norm", JsonText(layer.scope)},
                      {"samples", calibration.examples},
                      {"elements", layer.elements},
                      {"variance", Name(layer.variance)},
                      {"mean_shift", JsonNumber(layer.mean_shift)},
                      {"constant_channels", layer.constant_channels}});
  }
  return layers;
}

Json DataToJson(const CalibrationReport& calibration) {
  Json data = Json::array();
  for (const DataRange& range : calibration.inputs) data.push_back(ToJson(range));
  return data;
}

Json AuditToJson(const OutputAudit& audit) {
  Json json = ToJson(audit.counts);
  json["rules"] = audit.rules;
  return json;
}

Json CertificateToJson(const Certificate& certificate) {
  Json signatures = Json::array();
  bool all = true;
  for (const Certificate::Signature& signature : certificate.signatures) {
    const bool verified = signature.not_verified.empty();
    all = all && verified;
    Json one = {{"name", signature.name.empty() ? Json(nullptr) : JsonText(signature.name)},
                {"status", verified ? "verified" : "not verified"}};
    if (verified) AddVerification(one, signature.verification);
    if (!verified) one["reason"] = JsonText(signature.not_verified);
    signatures.push_back(std::move(one));
  }
  return {{"status", all ? "verified" : "not verified"}, {"signatures", signatures}};
}

}  // namespace

Json ToJson(const DataRange& range) {
  return {{"input", JsonText(range.input)}, {"shape", range.shape},
          {"min", JsonNumber(range.least)}, {"max", JsonNumber(range.most)},
          {"mean", JsonNumber(range.mean)}, {"std", JsonNumber(range.deviation)}};
}

void AddConversion(Json& json, const Conversion& conversion) {
  json["input"] = JsonText(conversion.input);
  json["output"] = JsonText(conversion.output);
  if (conversion.formats) {
    json["resolved"] = JsonText(conversion.formats->resolved);
    json["from"] = conversion.formats->from;
    json["to"] = conversion.formats->to;
  }
  if (conversion.plan) AddPlan(json, *conversion.plan);
  if (conversion.calibration) {
    json["calibrated"] = CalibratedToJson(*conversion.calibration);
    json["data"] = DataToJson(*conversion.calibration);
    if (!conversion.calibration->taken_from.empty()) {
      json["statistics_from"] = JsonText(conversion.calibration->taken_from);
    }
  }
  if (conversion.served) AddServed(json, *conversion.served);
  if (conversion.dry_run) json["dry_run"] = true;
  if (conversion.audit) json["audit"] = AuditToJson(*conversion.audit);
  if (conversion.certificate) json["verification"] = CertificateToJson(*conversion.certificate);
}

Json ToJson(const Conversion& conversion) {
  Json json = WithSchema(conversion.calibration ? "calibrate" : "convert");
  AddConversion(json, conversion);
  if (conversion.written) {
    json["record"] = JsonText(conversion.written->record);
  } else if (conversion.dry_run) {
    json["record"] = nullptr;
  }
  json["status"] = conversion.error ? "error" : "ok";
  json["error"] = conversion.error ? JsonError(*conversion.error) : Json(nullptr);
  return json;
}

}  // namespace ckpt::cli
