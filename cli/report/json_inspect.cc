#include "cli/report/json_pieces.h"

namespace ckpt::cli {

Json TensorOf(const InspectedInput& inspected, std::size_t place) {
  const InputReport& input = inspected.input;
  const std::size_t tensor = inspected.tensors[place];
  Json json = JsonTensor(input.manifest->tensors[tensor], input.analysis->roles[tensor]);
  if (inspected.statistics.empty()) return json;
  json["statistics"] = nullptr;
  if (const auto& found = inspected.statistics[place]) {
    json["statistics"] = {{"min", JsonNumber(found->min)},
                          {"max", JsonNumber(found->max)},
                          {"mean", JsonNumber(found->mean)},
                          {"std", JsonNumber(found->deviation())},
                          {"nan", found->nan},
                          {"infinite", found->infinite}};
  }
  return json;
}

Json HeadOf(const InspectedInput& inspected) {
  const InputReport& input = inspected.input;
  Json json = {{"path", JsonText(input.path)}};
  if (!input.opened()) {
    json["resolved"] = nullptr;
    json["format"] = nullptr;
    json["status"] = "error";
    json["error"] = input.error ? JsonError(*input.error) : Json(nullptr);
    json["batch_norm"] = Json::array();
    return json;
  }
  const Manifest& manifest = *input.manifest;
  const Analysis& analysis = *input.analysis;
  json["resolved"] = JsonText(manifest.resolved);
  json["notes"] = JsonTexts(input.notes);
  json["format"] = input.format;
  json["status"] = input.error ? "error" : "ok";
  json["error"] = input.error ? JsonError(*input.error) : Json(nullptr);
  json["framework"] = analysis.framework ? Json(Name(*analysis.framework)) : Json(nullptr);
  json["framework_version"] =
      manifest.framework_version.empty() ? Json(nullptr) : JsonText(manifest.framework_version);
  json["metadata"] = Json::object();
  for (const auto& [key, value] : manifest.metadata)
    json["metadata"][JsonText(key).get<std::string>()] = JsonText(value);
  json["problems"] = Json::array();
  for (const Problem& problem : manifest.problems)
    json["problems"].push_back(JsonError(problem.error));
  json["batch_norm"] = Json::array();
  for (const std::size_t i : inspected.batch_norms)
    json["batch_norm"].push_back(JsonBatchNorm(analysis.batch_norms[i], manifest));
  return json;
}

}  // namespace ckpt::cli
