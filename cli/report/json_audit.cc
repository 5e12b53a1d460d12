#include "cli/report/advice.h"
#include "cli/report/fingerprint.h"
#include "cli/report/json_pieces.h"

namespace ckpt::cli {
namespace {

Json DistanceToJson(const ChannelDistance& distance) {
  return {{"typical", JsonNumber(distance.typical)},
          {"largest", JsonNumber(distance.largest)},
          {"channel", distance.channel},
          {"noise", JsonNumber(distance.noise)}};
}

Json DriftToJson(const Drift& drift) {
  return {{"mean_shift", DistanceToJson(drift.mean_shift)},
          {"log2_variance", DistanceToJson(drift.log2_variance)},
          {"effective_elements", JsonNumber(drift.effective_elements)}};
}

Json DriftReportToJson(const DriftReport& report, const Analysis& analysis) {
  Json json = {{"examples", report.drift.examples}, {"judged", report.judged()}};
  json["inputs"] = json["batch_norm"] = json["left_out"] = Json::array();
  for (const DataRange& range : report.inputs) json["inputs"].push_back(ToJson(range));
  for (const LayerDrift& layer : report.drift.layers) {
    json["batch_norm"].push_back({{"scope", JsonText(analysis.batch_norms[layer.layer].scope)},
                                  {"first", layer.first},
                                  {"elements", layer.elements},
                                  {"as_served", DriftToJson(layer.as_served)},
                                  {"alone", DriftToJson(layer.alone)}});
  }
  for (const LayerNotMeasured& layer : report.drift.left_out) {
    json["left_out"].push_back({{"scope", JsonText(analysis.batch_norms[layer.layer].scope)},
                                {"reason", JsonText(layer.why)}});
  }
  return json;
}

}  // namespace

Json HeadOf(const AuditedInput& audited, bool with_layers) {
  const InputReport& input = audited.input;
  const bool opened = input.opened();
  Json json = {{"path", JsonText(input.path)}};
  json["resolved"] = opened ? JsonText(input.manifest->resolved) : Json(nullptr);
  json["notes"] = JsonTexts(input.notes);
  json["format"] = opened ? Json(input.format) : Json(nullptr);
  json["status"] = input.error ? "error" : "ok";
  json["error"] = input.error ? JsonError(*input.error) : Json(nullptr);
  json["read"] = audited.read_all ? "all" : "batch-norm";
  if (!audited.compared_with.empty()) json["compared_with"] = JsonText(audited.compared_with);
  if (with_layers) json["batch_norm"] = Json::array();
  if (!opened) return json;
  for (const BatchNorm& layer : input.analysis->batch_norms) {
    if (with_layers) json["batch_norm"].push_back(JsonBatchNorm(layer, *input.manifest));
  }
  if (audited.data) json["data"] = DriftReportToJson(*audited.data, *input.analysis);
  return json;
}

Json FindingOf(const AuditedInput& audited, const Finding& finding) {
  Json json = {{"rule", finding.rule->id},
               {"name", finding.rule->name},
               {"severity", Name(finding.severity)},
               {"subject", JsonText(finding.subject)}};
  json["tensors"] = Json::array();
  for (const FindingTensor& tensor : finding.tensors)
    json["tensors"].push_back(JsonText(tensor.name));
  json["message"] = JsonText(finding.message);
  json["fix"] = JsonText(FixOf(finding));
  json["fingerprint"] = FingerprintOf(finding, audited.input.analysis);
  return json;
}

Json FindingOf(const AuditedInput& audited, const KnownFinding& known) {
  Json json = FindingOf(audited, known.finding);
  json["reason"] = JsonText(known.reason);
  if (!known.moved_from.empty()) json["moved_from"] = JsonText(known.moved_from);
  return json;
}

Json ToJson(const SeverityCounts& counts) {
  return {{"errors", counts.errors}, {"warnings", counts.warnings}, {"infos", counts.infos}};
}

Json JsonNotRead(const std::vector<NotRead>& not_read) {
  Json json = Json::array();
  for (const auto& [path, reason] : not_read)
    json.push_back({{"path", JsonText(path)}, {"reason", JsonText(reason)}});
  return json;
}

namespace {

Json ConfigToJson(const AuditSummary::Config& config) {
  return {{"path", JsonText(config.path)},
          {"hidden", ToJson(config.hidden)},
          {"other_severity", config.other_severity}};
}

Json BaselineToJson(const AuditSummary::Baseline& baseline) {
  Json json = {{"path", JsonText(baseline.path)}, {"known", ToJson(baseline.known)}};
  json["stale"] = Json::array();
  for (const AuditSummary::Stale& stale : baseline.stale) {
    json["stale"].push_back({{"path", JsonText(stale.path)},
                             {"rule", JsonText(stale.rule)},
                             {"subject", JsonText(stale.subject)},
                             {"fingerprint", stale.fingerprint},
                             {"reason", JsonText(stale.reason)}});
  }
  return json;
}

}  // namespace

void AddPolicy(Json& json, const AuditSummary& summary) {
  json["config"] = summary.config ? ConfigToJson(*summary.config) : Json(nullptr);
  json["baseline"] = summary.baseline ? BaselineToJson(*summary.baseline) : Json(nullptr);
  if (const auto& resumed = summary.resumed)
    json["resumed"] = {{"path", JsonText(resumed->path)}, {"inputs", resumed->inputs}};
  if (const auto& written = summary.written) {
    json["written_baseline"] = {{"path", JsonText(written->path)},
                                {"entries", written->entries},
                                {"added", written->added}};
  }
}

Json ToJson(const AuditSummary& summary) {
  Json json = ToJson(summary.counts);
  json["inputs"] = summary.inputs;
  json["clean"] = summary.CountOf(InputState::kClean);
  json["with_warnings"] = summary.CountOf(InputState::kWarnings);
  json["with_errors"] = summary.CountOf(InputState::kErrors);
  json["unreadable"] = summary.CountOf(InputState::kUnreadable);
  json["not_read"] = JsonNotRead(summary.not_read);
  json["not_clean"] = Json::array();
  for (const auto& [path, state] : summary.not_clean)
    json["not_clean"].push_back({{"path", JsonText(path)}, {"state", Name(state)}});
  AddPolicy(json, summary);
  return json;
}

}  // namespace ckpt::cli
