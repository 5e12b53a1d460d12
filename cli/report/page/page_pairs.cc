// Two files side by side on a page: comparisons and runs.
#include <algorithm>

#include "cli/report/advice.h"
#include "cli/report/error_text.h"
#include "cli/report/page/page_values.h"

namespace ckpt::cli::page {
namespace {

// What counts as a change, and how much: those that were only read about weigh most.
double WeightOf(const TensorDiff& tensor) {
  if (tensor.status == TensorStatus::kEqual) return -1;
  if (tensor.by != ComparedBy::kBytes || tensor.non_finite > 0) return HUGE_VAL;
  return tensor.max_abs;
}

Json ToJson(const TensorDiff& tensor) {
  Json json = {{"name", Text(tensor.name_a.empty() ? tensor.name_b : tensor.name_a)},
               {"role", Name(tensor.role)},
               {"status", Name(tensor.status)}};
  if (!tensor.name_a.empty() && !tensor.name_b.empty() && tensor.name_a != tensor.name_b)
    json["name_b"] = Text(tensor.name_b);
  if (!tensor.counts) json["counts"] = false;
  if (!tensor.note.empty()) json["note"] = Text(tensor.note);
  if (tensor.status == TensorStatus::kRetyped)
    json["types"] = {Name(tensor.dtype_a), Name(tensor.dtype_b)};
  if (tensor.status == TensorStatus::kReshaped)
    json["shapes"] = {ToString(tensor.shape_a), ToString(tensor.shape_b)};
  if (tensor.by != ComparedBy::kBytes) return json;
  json["max_abs"] = Number(tensor.max_abs);
  json["max_rel"] = Number(tensor.max_rel);
  json["norm"] = Number(tensor.relative_norm);
  json["cosine"] = Number(tensor.cosine);
  json["elements"] = tensor.elements;
  json["differing"] = tensor.differing;
  if (tensor.non_finite > 0) json["non_finite"] = tensor.non_finite;
  return json;
}

// Where they are too many, the largest changes, in the order of the names.
Json TensorsToJson(const CheckpointDiff& diff, std::size_t most) {
  std::vector<std::size_t> changed;
  for (std::size_t i = 0; i < diff.tensors.size(); ++i) {
    if (diff.tensors[i].status != TensorStatus::kEqual) changed.push_back(i);
  }
  if (changed.size() > most) {
    const auto nth = changed.begin() + static_cast<std::ptrdiff_t>(most);
    std::nth_element(changed.begin(), nth, changed.end(), [&](std::size_t x, std::size_t y) {
      const double in_x = WeightOf(diff.tensors[x]), in_y = WeightOf(diff.tensors[y]);
      return in_x != in_y ? in_x > in_y : x < y;
    });
    changed.erase(nth, changed.end());
    std::sort(changed.begin(), changed.end());
  }
  Json json = Json::array();
  for (const std::size_t i : changed) json.push_back(ToJson(diff.tensors[i]));
  return json;
}

Json NormsToJson(const Comparison& comparison, std::size_t most) {
  const std::vector<BatchNormDiff>& norms = comparison.diff->batch_norms;
  std::vector<std::size_t> others;  // as functions
  for (std::size_t i = 0; i < norms.size(); ++i) {
    if (!norms[i].equal_as_function) others.push_back(i);
  }
  Json json = Json::array();
  for (const std::size_t i : Chosen(norms.size(), others, most)) {
    const BatchNormDiff& norm = norms[i];
    Json one = {{"i", i},
                {"scope", Text(norm.scope_a.empty() ? norm.scope_b : norm.scope_a)},
                {"equal", norm.equal_as_function},
                {"compared", norm.compared},
                {"scale", Number(norm.max_scale_diff)},
                {"shift", Number(norm.max_shift_diff)}};
    if (norm.scope_a.empty()) one["only"] = "B";
    if (norm.scope_b.empty()) one["only"] = "A";
    if (!norm.scope_a.empty() && !norm.scope_b.empty() && norm.scope_a != norm.scope_b)
      one["scope_b"] = Text(norm.scope_b);
    if (!norm.note.empty()) one["note"] = Text(WithAdvice(norm.note, norm.remedy));
    if (i < comparison.profiles.size()) {
      one["a"] = page::ToJson(comparison.profiles[i].a);
      one["b"] = page::ToJson(comparison.profiles[i].b);
    }
    json.push_back(std::move(one));
  }
  return json;
}

std::string_view NameOf(Identical identical) {
  if (identical == Identical::kUnread) return "unread";
  return identical == Identical::kYes ? "yes" : "no";
}

}  // namespace

Json Piece(const Comparison& comparison, std::size_t most) {
  Json json = {{"a", Text(comparison.a)}, {"b", Text(comparison.b)}};
  if (comparison.error) json["error"] = Describe(*comparison.error);
  if (!comparison.diff) return json;
  const CheckpointDiff& diff = *comparison.diff;
  json["identical"] = NameOf(diff.identical);
  json["within"] = diff.within_tolerance;
  json["mapping"] = Text(diff.mapping);
  json["counts"] = {{"equal", diff.equal},     {"changed", diff.changed},
                    {"added", diff.added},     {"removed", diff.removed},
                    {"retyped", diff.retyped}, {"reshaped", diff.reshaped}};
  json["weights_max"] = Number(diff.weights_max_abs);
  json["statistics_max"] = Number(diff.statistics_max_abs);
  json["tensors"] = TensorsToJson(diff, 2 * most);
  json["norms"] = NormsToJson(comparison, most);
  json["norm_count"] = diff.batch_norms.size();
  json["signatures"] = Json::array();
  for (std::size_t i = 0; i < std::min(most, diff.signatures.size()); ++i)
    json["signatures"].push_back(Text(diff.signatures[i].message));
  return json;
}

}  // namespace ckpt::cli::page
