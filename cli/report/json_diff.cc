#include "cli/report/advice.h"
#include "cli/report/json_pieces.h"

namespace ckpt::cli {
namespace {

Json SummaryToJson(const CheckpointDiff& diff) {
  return {{"equal", diff.equal},
          {"changed", diff.changed},
          {"added", diff.added},
          {"removed", diff.removed},
          {"retyped", diff.retyped},
          {"reshaped", diff.reshaped},
          {"within_tolerance", diff.within_tolerance},
          {"weights_max_abs", JsonNumber(diff.weights_max_abs)},
          {"statistics_max_abs", JsonNumber(diff.statistics_max_abs)},
          {"bytes_read", diff.bytes_read}};
}

Json BatchNormToJson(const BatchNormDiff& diff) {
  return {{"scope_a", JsonText(diff.scope_a)},
          {"scope_b", JsonText(diff.scope_b)},
          {"equal_as_function", diff.equal_as_function},
          {"max_scale_diff", JsonNumber(diff.max_scale_diff)},
          {"max_shift_diff", JsonNumber(diff.max_shift_diff)},
          {"note", JsonText(WithAdvice(diff.note, diff.remedy))}};
}

Json SignatureToJson(const Signature& signature) {
  Json json = {
      {"id", signature.id}, {"message", JsonText(signature.message)}, {"subjects", Json::array()}};
  for (const std::string& subject : signature.subjects)
    json["subjects"].push_back(JsonText(subject));
  return json;
}

Json IdenticalToJson(Identical identical) {
  if (identical == Identical::kUnread) return nullptr;
  return identical == Identical::kYes;
}

std::string_view ComparedByName(ComparedBy by) {
  switch (by) {
    case ComparedBy::kNothing:
      return "nothing";
    case ComparedBy::kBytes:
      return "bytes";
    case ComparedBy::kChecksum:
      return "checksum";
  }
  return "nothing";
}

}  // namespace

Json TensorOf(const TensorDiff& diff) {
  Json json;
  if (diff.name_a == diff.name_b || diff.name_a.empty() || diff.name_b.empty()) {
    json["name"] = JsonText(diff.name_a.empty() ? diff.name_b : diff.name_a);
  } else {
    json["name_a"] = JsonText(diff.name_a);
    json["name_b"] = JsonText(diff.name_b);
  }
  json["role"] = Name(diff.role);
  json["status"] = Name(diff.status);
  json["counts"] = diff.counts;
  if (diff.status == TensorStatus::kRetyped) {
    json["dtype_a"] = Name(diff.dtype_a);
    json["dtype_b"] = Name(diff.dtype_b);
  }
  if (diff.status == TensorStatus::kReshaped) {
    json["shape_a"] =
        Json(std::vector<std::int64_t>(diff.shape_a.dims().begin(), diff.shape_a.dims().end()));
    json["shape_b"] =
        Json(std::vector<std::int64_t>(diff.shape_b.dims().begin(), diff.shape_b.dims().end()));
  }
  if (!diff.name_a.empty() && !diff.name_b.empty()) json["matched_by"] = Name(diff.matched_by);
  if (!diff.reordered.empty()) json["reordered"] = JsonText(diff.reordered);
  if (!diff.note.empty()) json["note"] = JsonText(diff.note);
  json["by"] = ComparedByName(diff.by);
  if (diff.by != ComparedBy::kBytes) return json;
  json["max_abs"] = JsonNumber(diff.max_abs);
  json["max_rel"] = JsonNumber(diff.max_rel);
  json["elements"] = diff.elements;
  json["differing"] = diff.differing;
  json["beyond_tolerance"] = diff.beyond_tolerance;
  json["non_finite"] = diff.non_finite;
  json["nan_a"] = diff.nan_a;
  json["nan_b"] = diff.nan_b;
  json["relative_norm"] = JsonNumber(diff.relative_norm);
  json["cosine"] = JsonNumber(diff.cosine);
  json["max_ulp"] = diff.max_ulp;
  return json;
}

Json HeadOf(const Comparison& comparison) {
  Json head = WithSchema("diff");
  head["a"] = JsonText(comparison.a);
  head["b"] = JsonText(comparison.b);
  head["status"] = comparison.error ? "error" : "ok";
  head["error"] = comparison.error ? JsonError(*comparison.error) : Json(nullptr);
  if (!comparison.diff) return head;
  head["identical"] = IdenticalToJson(comparison.diff->identical);
  head["mapping"] = JsonText(comparison.diff->mapping);
  return head;
}

void AddTail(Json& json, const CheckpointDiff& diff) {
  json["batch_norm"] = Json::array();
  for (const BatchNormDiff& layer : diff.batch_norms)
    json["batch_norm"].push_back(BatchNormToJson(layer));
  json["signatures"] = Json::array();
  for (const Signature& signature : diff.signatures)
    json["signatures"].push_back(SignatureToJson(signature));
  json["summary"] = SummaryToJson(diff);
}

}  // namespace ckpt::cli
