#include "cli/report/json_values.h"

#include <cmath>

#include "cli/report/advice.h"

namespace ckpt::cli {
namespace {

bool IsUtf8(std::string_view text) {
  try {
    return !Json(text).dump().empty();
  } catch (const Json::exception&) {
    return false;
  }
}

Json TensorName(const std::optional<TensorId>& id, const Manifest& manifest) {
  return id ? JsonText(manifest.tensors[id->index].name) : Json(nullptr);
}

}  // namespace

Json JsonText(std::string_view text) {
  return IsUtf8(text) ? Json(text) : Json(EscapeForDisplay(text));
}

Json JsonTexts(const std::vector<std::string>& texts) {
  Json json = Json::array();
  for (const std::string& text : texts) json.push_back(JsonText(text));
  return json;
}

Json JsonNumber(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  return value;
}

Json JsonNumber(const std::optional<double>& value) {
  return value ? JsonNumber(*value) : Json(nullptr);
}

Json JsonError(const Error& error) {
  Json json = {{"code", ErrorCodeName(error.code)}, {"message", JsonText(MessageOf(error))}};
  json["file"] = error.file.empty() ? Json(nullptr) : JsonText(error.file);
  json["offset"] = error.offset ? Json(*error.offset) : Json(nullptr);
  json["tensor"] = error.tensor.empty() ? Json(nullptr) : JsonText(error.tensor);
  return json;
}

Json JsonEvidence(const std::vector<Evidence>& evidence) {
  Json json = Json::array();
  for (const Evidence& item : evidence) {
    json.push_back({{"source", Name(item.source)}, {"detail", JsonText(item.detail)}});
  }
  return json;
}

Json JsonSourced(const std::optional<SourcedNumber>& number) {
  if (!number) return nullptr;
  return {{"value", JsonNumber(number->value)},
          {"source", Name(number->evidence.source)},
          {"detail", JsonText(number->evidence.detail)}};
}

Json JsonTensor(const TensorInfo& info, const TensorRole& role) {
  Json json = {{"name", JsonText(info.name)},
               {"stored_as", JsonText(info.stored_as)},
               {"dtype", Name(info.dtype)}};
  json["shape"] = Json::array();
  for (const std::int64_t dim : info.shape.dims()) json["shape"].push_back(dim);
  json["bytes"] = info.byte_size;
  json["role"] = Name(role.role);
  json["trainable"] = role.trainable ? Json(*role.trainable) : Json(nullptr);
  json["evidence"] = JsonEvidence(role.evidence);
  if (!info.data_present) json["data"] = "absent";
  if (!IsUtf8(info.name) || !IsUtf8(info.stored_as)) json["name_escaped"] = true;
  return json;
}

Json JsonBatchNorm(const BatchNorm& batch_norm, const Manifest& manifest) {
  Json json = {{"scope", JsonText(batch_norm.scope)}};
  json["channels"] = batch_norm.channels ? Json(*batch_norm.channels) : Json(nullptr);
  json["gamma"] = TensorName(batch_norm.gamma, manifest);
  json["beta"] = TensorName(batch_norm.beta, manifest);
  json["moving_mean"] = TensorName(batch_norm.moving_mean, manifest);
  json["moving_variance"] = TensorName(batch_norm.moving_variance, manifest);
  json["epsilon"] = JsonSourced(batch_norm.epsilon);
  json["momentum"] = JsonSourced(batch_norm.momentum);
  json["certain"] = batch_norm.certain;
  json["frozen"] = batch_norm.frozen;
  json["evidence"] = JsonEvidence(batch_norm.evidence);
  return json;
}

std::string Dump(const Json& json, bool indented) { return json.dump(indented ? 2 : -1) + '\n'; }

}  // namespace ckpt::cli
