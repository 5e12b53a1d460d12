#include "convert/training_mode.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "ckpt/layer_computation.h"
#include "core/name_list.h"

namespace ckpt {
namespace {

constexpr const char* kAnotherFunction =
    "it normalises with the statistics of its batch wherever it is served";

std::vector<const BatchNorm*> InTrainingMode(const Analysis& analysis) {
  std::vector<const BatchNorm*> found;
  for (const BatchNorm& norm : analysis.batch_norms) {
    if (!norm.training_mode.empty() && !norm.training_mode_overridden) found.push_back(&norm);
  }
  return found;
}

NameList ScopesOf(const std::vector<const BatchNorm*>& norms) {
  NameList names;
  for (const BatchNorm* norm : norms) names.Add(norm->scope);
  return names;
}

const Layer* LayerOf(const Manifest& manifest, const BatchNorm& norm) {
  return manifest.graph && norm.layer ? &manifest.graph->layers[*norm.layer] : nullptr;
}

// Other layers that are called as in training: dropouts. They stay, and it is said.
void TellActive(const Manifest& manifest, ConversionPlan& plan) {
  if (!manifest.graph) return;
  std::map<std::string, NameList> active;  // by operation and reason
  for (const Layer& layer : manifest.graph->layers) {
    if (IsBatchNorm(layer) || layer.training_mode.empty()) continue;
    if (layer.training_mode_overridden) continue;
    active[layer.op_type + " (" + layer.training_mode + ")"].Add(layer.name);
  }
  for (const auto& [what, names] : active)
    plan.notes.push_back("stays active in what is written: " + what + ": " + names.text());
}

void TellOverridden(const Analysis& analysis, ConversionPlan& plan) {
  NameList names;
  for (const BatchNorm& norm : analysis.batch_norms) {
    if (norm.training_mode_overridden) names.Add(norm.scope);
  }
  if (names.count() == 0) return;
  plan.notes.push_back("stays in training mode as it is called, as predict() overrides the call: " +
                       names.text());
}

// Why the layer cannot use moving statistics; empty: it can.
std::string WhyNotClosed(const Manifest& manifest, const BatchNorm& norm) {
  if (const Layer* layer = LayerOf(manifest, norm)) {
    if (!layer->not_inference.empty()) return layer->not_inference;
    for (const auto& [name, source] : layer->fed_tensors) {
      if (name == "moving_mean" || name == "moving_variance")
        return "its " + name + " is " + source;
    }
  }
  if (!norm.moving_mean) return "the file has no moving mean of it";
  if (!norm.moving_variance) return "the file has no moving variance of it";
  return {};
}

Status Closable(const Manifest& manifest, const std::vector<const BatchNorm*>& norms) {
  for (const BatchNorm* norm : norms) {
    const std::string why = WhyNotClosed(manifest, *norm);
    if (why.empty()) continue;
    return Fail(
        Error{ErrorCode::kUnfit, '"' + norm->scope + "\" cannot use moving statistics: " + why}
            .About(Setting::kCloseTrainingMode));
  }
  return {};
}

Error NotClosed(const Manifest& manifest, const std::vector<const BatchNorm*>& norms,
                const std::string& what) {
  const Status closable = Closable(manifest, norms);
  return Error{ErrorCode::kUnfit,
               "batch norm in training mode: " + ScopesOf(norms).text() + " (" +
                   norms.front()->training_mode + "): " + kAnotherFunction + ", and " + what +
                   (closable ? "" : "; it cannot be closed (" + closable.error().message + ")")}
      .With(closable ? Remedy::kCloseTrainingMode : Remedy::kNone);
}

}  // namespace

void ConversionPlan::AddChanged(const std::string& batch_norm, const std::string& reason,
                                bool fold) {
  Changed one{batch_norm, "uses its moving statistics; in the input " + reason};
  const auto found = std::find_if(kept.begin(), kept.end(),
                                  [&](const Kept& k) { return k.batch_norm == batch_norm; });
  if (found != kept.end()) {
    if (found->affine) one.reason += "; now one scale and one offset per channel";
    if (fold) {
      one.reason += "; not folded: " + found->reason;
      one.remedy = found->remedy;
    }
    std::erase_if(kept, [&](const Kept& k) { return k.batch_norm == batch_norm; });
  }
  changed.push_back(std::move(one));
}

Status CheckTrainingMode(const Manifest& manifest, const Analysis& analysis,
                         const ConvertOptions& options) {
  const auto norms = InTrainingMode(analysis);
  if (norms.empty()) return {};
  if (options.close_training_mode) return Closable(manifest, norms);
  if (options.output_holds_network)
    return Fail(NotClosed(manifest, norms, "so would what is written"));
  if (options.fold.fold)
    return Fail(NotClosed(manifest, norms, "folded it computes something else"));
  return {};
}

void SettleTrainingMode(const Manifest& manifest, const Analysis& analysis,
                        const ConvertOptions& options, ConversionPlan& plan) {
  if (options.output_holds_network) TellActive(manifest, plan);
  if (options.close_training_mode) TellOverridden(analysis, plan);
  const auto norms = InTrainingMode(analysis);
  if (norms.empty()) return;
  if (!options.close_training_mode) {
    plan.notes.push_back("batch norm in training mode in the input: " + ScopesOf(norms).text() +
                         " (" + norms.front()->training_mode +
                         "); only tensors are written, and whoever reads them decides");
    return;
  }
  for (const BatchNorm* norm : norms) {
    plan.AddChanged(norm->scope, norm->training_mode, options.fold.fold);
    if (LayerOf(manifest, *norm) == nullptr) continue;
    const auto& removed = plan.edits.removed;
    if (!std::binary_search(removed.begin(), removed.end(), *norm->layer))
      plan.edits.to_inference.push_back(*norm->layer);
  }
  std::sort(plan.edits.to_inference.begin(), plan.edits.to_inference.end());
}

}  // namespace ckpt
