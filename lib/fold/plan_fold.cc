#include <algorithm>
#include <set>
#include <string_view>
#include <utility>

#include "fold/fold_by_names.h"
#include "fold/fold_context.h"
#include "fold/fold_over_graph.h"
#include "fold/kept_batch_norm.h"
#include "fold/reason.h"
#include "fold/user_pairs.h"

namespace ckpt {
namespace {

double ErrorBoundOf(const FoldContext& context, const Candidate& candidate) {
  double bound = 0;
  for (const LayerKey& kernel : candidate.kernels) {
    bound = std::max(bound, context.steps.layers().at(kernel).ErrorBound());
  }
  for (const std::size_t i : candidate.batch_norms) {
    const Candidate& into = context.candidates[i];
    const TensorInfo& statistic = context.manifest.tensors[into.batch_norm.moving_mean->index];
    bound =
        std::max(bound, into.function->ErrorBound(context.options.cast.value_or(statistic.dtype)));
  }
  return bound;
}

void EmitFolded(const FoldContext& context, const Candidate& candidate, FoldPlan& plan) {
  const BatchNorm& batch_norm = candidate.batch_norm;
  Folded folded{.batch_norm = batch_norm.scope,
                .into = {},
                .direction = candidate.direction,
                .epsilon = *batch_norm.epsilon,
                .evidence = candidate.evidence,
                .error_bound = ErrorBoundOf(context, candidate)};
  for (const LayerKey& kernel : candidate.kernels) {
    folded.into.push_back(context.steps.layers().at(kernel).layer().kernel_name);
  }
  for (const std::size_t other : candidate.batch_norms) {
    folded.into.push_back(context.candidates[other].batch_norm.scope);
  }
  plan.folded.push_back(std::move(folded));
  for (const auto& id : {batch_norm.gamma, batch_norm.beta, batch_norm.moving_mean,
                         batch_norm.moving_variance, batch_norm.batch_counter}) {
    if (id) plan.consumed.push_back(*id);
  }
  plan.consumed.insert(plan.consumed.end(), batch_norm.extras.begin(), batch_norm.extras.end());
  if (context.manifest.graph && batch_norm.layer) plan.edits.removed.push_back(*batch_norm.layer);
}

Status EmitKept(FoldContext& context, std::size_t i, FoldPlan& plan) {
  const Candidate& candidate = context.candidates[i];
  if (candidate.is_scale) {
    context.notes.push_back(Quoted(candidate.batch_norm.scope) +
                            " scales and moves each channel, as a frozen batch norm does, and "
                            "stays: " +
                            candidate.reason.text);
    return {};
  }
  std::optional<ChangedBatchNorm> changed;
  bool affine = false;
  if (context.options.leftover_affine && candidate.function) {
    auto reduced = AsAffine(context.manifest, context.shared, candidate.batch_norm,
                            *candidate.function, context.options.cast);
    if (reduced) {
      affine = true;
      changed = *std::move(reduced);
    } else {
      CKPT_RETURN_IF_ERROR(context.Explain(i, "not reduced to scale and offset", reduced.error()));
    }
  }
  if (!changed && candidate.merged_into) {
    CKPT_ASSIGN_OR_RETURN(changed,
                          WithMerged(context.manifest, context.shared, candidate.batch_norm,
                                     *candidate.function, context.options.cast));
    affine = changed->to_affine;
  }
  plan.kept.push_back({.batch_norm = candidate.batch_norm.scope,
                       .reason = candidate.reason.text,
                       .affine = affine,
                       .remedy = candidate.reason.remedy});
  if (!changed) return {};
  if (changed->to_affine) plan.edits.to_affine.push_back(*candidate.batch_norm.layer);
  plan.edits.rebound.insert(plan.edits.rebound.end(), changed->rebound.begin(),
                            changed->rebound.end());
  plan.consumed.insert(plan.consumed.end(), changed->consumed.begin(), changed->consumed.end());
  std::move(changed->tensors.begin(), changed->tensors.end(), std::back_inserter(plan.tensors));
  return {};
}

// The tensors that a layer of the graph still reads after the edits.
void AddReadTensors(const ModelGraph& graph, const FoldPlan& plan, std::set<TensorId>& used) {
  const GraphEdits& edits = plan.edits;
  std::set<std::pair<LayerId, std::string_view>> rebound;
  for (const Rebound& r : edits.rebound) rebound.emplace(r.layer, r.local_name);
  for (LayerId id = 0; id < graph.layers.size(); ++id) {
    if (std::binary_search(edits.removed.begin(), edits.removed.end(), id)) continue;
    const bool affine = std::binary_search(edits.to_affine.begin(), edits.to_affine.end(), id);
    for (const auto& [name, tensor] : graph.layers[id].tensors) {
      const bool own = rebound.contains({id, name});
      const bool gone =
          affine && std::binary_search(plan.consumed.begin(), plan.consumed.end(), tensor);
      if (!own && !gone) used.insert(tensor);
    }
  }
}

// What a batch norm or a folded layer no longer needs is written as long as another layer does.
void KeepWhatIsUsed(const FoldContext& context, FoldPlan& plan) {
  std::set<TensorId> used;
  for (std::size_t i = 0, kept = 0; i < context.candidates.size(); ++i) {
    const Candidate& candidate = context.candidates[i];
    if (candidate.folded || (!candidate.is_scale && plan.kept[kept++].affine)) continue;
    const BatchNorm& batch_norm = candidate.batch_norm;
    for (const auto& id :
         {batch_norm.gamma, batch_norm.beta, batch_norm.moving_mean, batch_norm.moving_variance}) {
      if (id) used.insert(*id);
    }
  }
  if (context.manifest.graph) {
    for (const Rebound& rebound : plan.edits.rebound) {
      const auto& tensors = context.manifest.graph->layers[rebound.layer].tensors;
      const auto old = tensors.find(rebound.local_name);
      if (old != tensors.end()) plan.consumed.push_back(old->second);
    }
  }
  std::sort(plan.consumed.begin(), plan.consumed.end());
  plan.consumed.erase(std::unique(plan.consumed.begin(), plan.consumed.end()), plan.consumed.end());
  if (context.manifest.graph) AddReadTensors(*context.manifest.graph, plan, used);
  std::erase_if(plan.consumed, [&](TensorId id) { return used.contains(id); });
}

void AddRebound(const Manifest& manifest, const FoldedLayer& folded, GraphEdits& edits) {
  const LinearLayer& layer = folded.layer();
  if (!layer.layer || !manifest.graph->layers[*layer.layer].can_rebind) return;
  if (layer.kernel_name != manifest.tensors[layer.kernel.index].name) {
    edits.rebound.push_back({*layer.layer, "kernel", layer.kernel_name});
  }
  if (layer.bias ? layer.bias_name != manifest.tensors[layer.bias->index].name
                 : folded.NeedsNewBias()) {
    edits.rebound.push_back({*layer.layer, "bias", layer.bias_name});
  }
}

Status CheckNames(const FoldPlan& plan) {
  const auto twice =
      std::adjacent_find(plan.tensors.begin(), plan.tensors.end(),
                         [](const auto& a, const auto& b) { return a.info.name == b.info.name; });
  if (twice == plan.tensors.end()) return {};
  return Refuse("two folded tensors would be called " + Quoted(twice->info.name),
                Remedy::kGivePairOrRename);
}

Status Emit(FoldContext& context, FoldPlan& plan) {
  for (std::size_t i = 0; i < context.candidates.size(); ++i) {
    if (context.candidates[i].folded) {
      EmitFolded(context, context.candidates[i], plan);
    } else {
      CKPT_RETURN_IF_ERROR(EmitKept(context, i, plan));
    }
  }
  for (const auto& [key, layer] : context.steps.layers()) {
    for (FoldedTensor& tensor : layer.Tensors(context.manifest)) {
      plan.tensors.push_back(std::move(tensor));
    }
    if (layer.NeedsNewBias() && layer.layer().layer) {
      plan.edits.gained_bias.push_back(*layer.layer().layer);
    }
    AddRebound(context.manifest, layer, plan.edits);
  }
  std::sort(plan.tensors.begin(), plan.tensors.end(),
            [](const auto& a, const auto& b) { return a.info.name < b.info.name; });
  for (auto* layers : {&plan.edits.removed, &plan.edits.gained_bias, &plan.edits.to_affine}) {
    std::sort(layers->begin(), layers->end());
  }
  CKPT_RETURN_IF_ERROR(CheckNames(plan));
  KeepWhatIsUsed(context, plan);
  plan.notes = context.notes;
  plan.proof = context.proof;
  plan.notes.insert(plan.notes.end(), context.steps.notes().begin(), context.steps.notes().end());
  return {};
}

// The user's word makes a class a batch norm; where it belongs the graph says.
Status CheckVouched(const FoldContext& context, const UserPairs& pairs) {
  for (const auto& [i, vouched] : pairs.vouched) {
    const TensorId kernel = vouched;  // clang 14 captures no structured binding
    const Candidate& candidate = context.candidates[i];
    const bool agrees =
        std::any_of(candidate.kernels.begin(), candidate.kernels.end(), [&](const LayerKey& key) {
          return context.steps.layers().at(key).layer().kernel == kernel;
        });
    if (!candidate.folded || agrees) continue;
    return Fail(ErrorCode::kInvalidArgument,
                "the pair of " + Quoted(candidate.batch_norm.scope) + " and " +
                    Quoted(context.manifest.tensors[kernel.index].name) +
                    ": by the graph it belongs elsewhere");
  }
  return {};
}

Status Fold(FoldContext& context) {
  if (!context.manifest.graph) return FoldByNames(context);
  // The graph leaves nothing else for pairs to say; what they contradict is reported.
  const NamedLayers layers(context.manifest, context.analysis);
  CKPT_ASSIGN_OR_RETURN(const UserPairs pairs, ResolveUserPairs(layers, context.options.pairs));
  for (const auto& [i, kernel] : pairs.vouched) context.candidates[i].batch_norm.vouched = true;
  for (std::size_t i = 0; i < context.candidates.size(); ++i) {
    CKPT_RETURN_IF_ERROR(context.ReadFunction(i));
  }
  CKPT_RETURN_IF_ERROR(FoldOverGraph(context));
  return CheckVouched(context, pairs);
}

}  // namespace

std::string_view Name(FoldDirection direction) noexcept {
  switch (direction) {
    case FoldDirection::kBackward:
      return "backward";
    case FoldDirection::kForward:
      return "forward";
    case FoldDirection::kMerged:
      return "merged";
  }
  return "backward";
}

Result<FoldPlan> PlanFold(const Checkpoint& checkpoint, const Analysis& analysis,
                          const FoldOptions& options) {
  FoldPlan plan;
  if (!options.fold) {
    for (const BatchNorm& batch_norm : analysis.batch_norms) {
      plan.kept.push_back({batch_norm.scope, "folding was not asked for"});
    }
    return plan;
  }
  if (options.cast && (!IsFloat(*options.cast) || BitSize(*options.cast) % 8 != 0)) {
    return Fail(ErrorCode::kInvalidArgument,
                "folded values cannot be written as " + std::string(Name(*options.cast)));
  }
  FoldContext context(checkpoint, analysis, options);
  CKPT_RETURN_IF_ERROR(Fold(context));
  CKPT_RETURN_IF_ERROR(Emit(context, plan));
  return plan;
}

}  // namespace ckpt
