#include "cli/report/json_pieces.h"

namespace ckpt::cli {
namespace {

Json StepToJson(const FollowedRun& run, const FollowedStep& step) {
  Json json = {{"path", JsonText(step.path)}};
  const bool recorded = step.place && run.trend.recorded_steps[*step.place];
  json["step"] = JsonNumber(run.StepOf(step));
  json["step_from"] = recorded ? Json("file") : step.number ? Json("name") : Json(nullptr);
  json["status"] = step.error ? "error" : "ok";
  json["error"] = step.error ? JsonError(*step.error) : Json(nullptr);
  return json;
}

Json NormStepToJson(const NormAtStep& step) {
  return {{"present", step.present},
          {"statistics", Name(step.statistics)},
          {"weights", Name(step.weights)},
          {"mean_shift", JsonNumber(step.mean_shift)},
          {"variance_ratio", JsonNumber(step.variance_ratio)},
          {"initial_share", JsonNumber(step.initial_share)},
          {"initial", step.initial},
          {"non_finite", step.non_finite}};
}

// The path of the checkpoint that is the `place`-th of the trend.
Json PathAt(const FollowedRun& run, const std::optional<std::size_t>& place) {
  for (const FollowedStep& step : run.steps) {
    if (place && step.place == place) return JsonText(step.path);
  }
  return nullptr;
}

Json NormToJson(const FollowedRun& run, const NormTrend& norm) {
  Json json = {{"scope", JsonText(norm.scope)}};
  json["channels"] = norm.channels ? Json(*norm.channels) : Json(nullptr);
  json["in_last"] = norm.layer.has_value();
  json["stopped_since"] = PathAt(run, norm.stopped_since);
  json["still_since"] = PathAt(run, norm.still_since);
  json["reset_at"] = PathAt(run, norm.reset_at);
  json["non_finite_since"] = PathAt(run, norm.non_finite_since);
  json["steps"] = Json::array();
  for (const FollowedStep& step : run.steps) {
    json["steps"].push_back(step.place ? NormStepToJson(norm.steps[*step.place]) : Json(nullptr));
  }
  return json;
}

}  // namespace

Json HeadOf(const FollowedRun& run) {
  Json json = {{"path", JsonText(run.path)}, {"verdict", Name(run.trend.verdict)}};
  json["steps"] = json["batch_norm"] = Json::array();
  for (const FollowedStep& step : run.steps) json["steps"].push_back(StepToJson(run, step));
  for (const NormTrend& norm : run.trend.norms) json["batch_norm"].push_back(NormToJson(run, norm));
  return json;
}

Json FindingOf(const FollowedRun& run, const Finding& finding) {
  return FindingOf(AuditedInput{InputReport{run.path}}, finding);
}

Json FindingOf(const FollowedRun& run, const KnownFinding& known) {
  return FindingOf(AuditedInput{InputReport{run.path}}, known);
}

Json ToJson(const TrendSummary& summary) {
  Json json = ToJson(summary.counts);
  json["runs"] = summary.runs;
  json["checkpoints"] = summary.checkpoints;
  json["unreadable"] = summary.unreadable;
  json["not_read"] = JsonNotRead(summary.not_read);
  json["verdicts"] = Json::object();
  for (std::size_t i = 0; i < summary.verdicts.size(); ++i)
    json["verdicts"][std::string(Name(static_cast<TrendVerdict>(i)))] = summary.verdicts[i];
  json["not_clean"] = Json::array();
  for (const auto& [path, verdict, unreadable] : summary.not_clean) {
    json["not_clean"].push_back(
        {{"path", JsonText(path)}, {"verdict", Name(verdict)}, {"unreadable", unreadable}});
  }
  AddPolicy(json, summary.policy);
  return json;
}

}  // namespace ckpt::cli
