// Conversions and calibrations on a page.
#include <algorithm>

#include "cli/report/error_text.h"
#include "cli/report/page/page_values.h"

namespace ckpt::cli::page {
namespace {

template <typename List, typename Make>
Json FirstOf(const List& list, std::size_t most, const Make& make) {
  Json json = Json::array();
  for (const auto& one : list) {
    if (json.size() == most) break;
    json.push_back(make(one));
  }
  return json;
}

Json ToJson(const Folded& fold) {
  Json into = Json::array();
  for (const std::string& name : fold.into) into.push_back(Text(name));
  return {{"scope", Text(fold.batch_norm)},
          {"into", std::move(into)},
          {"direction", Name(fold.direction)},
          {"epsilon", Number(fold.epsilon.value)},
          {"source", Name(fold.epsilon.evidence.source)},
          {"bound", Number(fold.error_bound)}};
}

Json PlanToJson(const PlanReport& plan, std::size_t most) {
  const auto pair = [](const std::string& name, const std::string& reason) -> Json {
    return {Text(name), Text(reason)};
  };
  Json json = {{"tensors", plan.tensors},
               {"counts",
                {{"folded", plan.folded.size()},
                 {"kept", plan.kept.size()},
                 {"changed", plan.changed.size()},
                 {"dropped", plan.dropped.size()},
                 {"renamed", plan.renamed.size()}}}};
  json["folded"] = FirstOf(plan.folded, most, [](const Folded& fold) { return ToJson(fold); });
  json["kept"] = FirstOf(plan.kept, most,
                         [&](const Kept& kept) { return pair(kept.batch_norm, kept.reason); });
  json["changed"] = FirstOf(plan.changed, most, [&](const Changed& changed) {
    return pair(changed.batch_norm, changed.reason);
  });
  json["dropped"] = FirstOf(plan.dropped, most, [&](const Dropped& dropped) {
    return pair(dropped.name, dropped.reason);
  });
  json["notes"] = FirstOf(plan.notes, most, [](const std::string& note) { return Text(note); });
  return json;
}

Json ToJson(const CalibrationReport& report, std::size_t most) {
  Json json = {{"examples", report.examples}, {"few", report.few}};
  if (!report.taken_from.empty()) json["from"] = Text(report.taken_from);
  json["inputs"] = page::ToJson(report.inputs);
  json["count"] = report.layers.size();
  json["layers"] = Json::array();
  for (std::size_t i = 0; i < std::min(most, report.layers.size()); ++i) {
    const CalibratedNorm& layer = report.layers[i];
    Json one = {{"i", i},
                {"scope", Text(layer.scope)},
                {"elements", layer.elements},
                {"variance", Name(layer.variance)},
                {"shift", Number(layer.mean_shift)}};
    if (i < report.profiles.size()) {
      one["a"] = page::ToJson(report.profiles[i].a);
      one["b"] = page::ToJson(report.profiles[i].b);
    }
    json["layers"].push_back(std::move(one));
  }
  return json;
}

Json ToJson(const Certificate::Signature& signature, std::size_t most) {
  Json json = {{"name", Text(signature.name)}};
  if (signature.not_verified.empty()) {
    json["run"] = page::ToJson(signature.verification, most);
  } else {
    json["not_verified"] = Text(signature.not_verified);
  }
  return json;
}

}  // namespace

Json Piece(const Conversion& conversion, std::size_t most) {
  Json json = {{"input", Text(conversion.input)}, {"output", Text(conversion.output)}};
  if (conversion.error) json["error"] = Describe(*conversion.error);
  if (conversion.formats) {
    json["from"] = conversion.formats->from;
    json["to"] = conversion.formats->to;
    json["notes"] =
        FirstOf(conversion.formats->notes, 20, [](const std::string& note) { return Text(note); });
  }
  if (conversion.plan) json["plan"] = PlanToJson(*conversion.plan, most);
  if (conversion.calibration) json["calibration"] = ToJson(*conversion.calibration, most);
  if (conversion.certificate) {
    json["certificate"] =
        FirstOf(conversion.certificate->signatures, 16,
                [&](const Certificate::Signature& one) { return ToJson(one, most / 16 + 1); });
  }
  if (conversion.audit) {
    json["audit"] = {{"errors", conversion.audit->counts.errors},
                     {"warnings", conversion.audit->counts.warnings},
                     {"rules", conversion.audit->rules}};
  }
  json["dry_run"] = conversion.dry_run;
  if (conversion.written) {
    json["written"] = {{"record", Text(conversion.written->record)},
                       {"bytes", conversion.written->bytes}};
  }
  return json;
}

}  // namespace ckpt::cli::page
