#include "cli/report/json_pieces.h"

namespace ckpt::cli {

Json TensorOf(const InputReport& input, std::size_t tensor) {
  return JsonTensor(input.manifest->tensors[tensor], input.analysis->roles[tensor]);
}

Json HeadOf(const InspectedInput& inspected, bool with_tensors) {
  const InputReport& input = inspected.input;
  Json json = {{"path", JsonText(input.path)}};
  if (!input.opened()) {
    json["resolved"] = nullptr;
    json["format"] = nullptr;
    json["status"] = "error";
    json["error"] = input.error ? JsonError(*input.error) : Json(nullptr);
    if (with_tensors) json["tensors"] = Json::array();
    json["batch_norm"] = Json::array();
    return json;
  }
  const Manifest& manifest = *input.manifest;
  const Analysis& analysis = *input.analysis;
  json["resolved"] = JsonText(manifest.resolved);
  json["notes"] = JsonTexts(input.notes);
  json["format"] = input.format;
  json["status"] = "ok";
  json["error"] = nullptr;
  json["framework"] = analysis.framework ? Json(Name(*analysis.framework)) : Json(nullptr);
  json["framework_version"] =
      manifest.framework_version.empty() ? Json(nullptr) : JsonText(manifest.framework_version);
  json["metadata"] = Json::object();
  for (const auto& [key, value] : manifest.metadata)
    json["metadata"][JsonText(key).get<std::string>()] = JsonText(value);
  json["problems"] = Json::array();
  for (const Problem& problem : manifest.problems)
    json["problems"].push_back(JsonError(problem.error));
  if (with_tensors) {
    json["tensors"] = Json::array();
    for (std::size_t i = 0; i < manifest.tensors.size(); ++i) {
      json["tensors"].push_back(TensorOf(input, i));
    }
  }
  json["batch_norm"] = Json::array();
  for (const BatchNorm& layer : analysis.batch_norms)
    json["batch_norm"].push_back(JsonBatchNorm(layer, manifest));
  return json;
}

}  // namespace ckpt::cli
