#include "fold/fold_over_graph.h"

#include <map>
#include <set>

#include "ckpt/layer_computation.h"
#include "fold/graph_walk.h"
#include "fold/kept_batch_norm.h"
#include "fold/reason.h"

namespace ckpt {
namespace {

class GraphFolder {
 public:
  explicit GraphFolder(FoldContext& context)
      : context_(context), graph_(*context.manifest.graph), walk_(context.manifest) {
    for (std::size_t i = 0; i < context_.candidates.size(); ++i) {
      if (const auto layer = context_.candidates[i].batch_norm.layer) by_layer_[*layer] = i;
    }
  }

  Status Fold();

 private:
  using Attempt = Status (GraphFolder::*)(Candidate& candidate, std::size_t i);
  // A candidate that is out of the question for `attempt` keeps `what` and the refusal as reason.
  Status Try(std::size_t i, Attempt attempt, const char* what);
  Status FoldBackward(Candidate& candidate, std::size_t i);
  Status FoldForward(Candidate& candidate, std::size_t i);
  Status Merge(Candidate& candidate, std::size_t i);

  std::vector<std::size_t> InModelOrder() const;
  Result<std::vector<FoldPart>> PartsOf(const std::vector<GraphTarget>& targets,
                                        const BatchNormFunction& function) const;
  void SetFolded(std::size_t i, FoldDirection direction, const std::vector<FoldPart>& parts,
                 const std::vector<GraphTarget>& targets);

  FoldContext& context_;
  const ModelGraph& graph_;
  GraphWalk walk_;
  std::map<LayerId, std::size_t> by_layer_;
};

std::vector<std::size_t> GraphFolder::InModelOrder() const {
  std::vector<std::size_t> order;
  std::set<LayerId> seen;
  for (const Node& node : graph_.nodes) {
    const auto known = by_layer_.find(node.layer);
    if (known != by_layer_.end() && seen.insert(node.layer).second) order.push_back(known->second);
  }
  return order;
}

// Checks what depends on the numbers, and finds the tensors.
Result<std::vector<FoldPart>> GraphFolder::PartsOf(const std::vector<GraphTarget>& targets,
                                                   const BatchNormFunction& function) const {
  std::vector<FoldPart> parts;
  for (const GraphTarget& target : targets) {
    const std::size_t first = target.first_channel;
    const std::size_t count =
        target.order == ChannelOrder::kSame ? target.channels : function.channels();
    if (!target.needs_zero_shift.empty() && target.adds_shift &&
        !function.ShiftIsZero(first, count)) {
      return Refuse("its shift is not 0, and " + target.needs_zero_shift);
    }
    if (!target.needs_scale_not_negative.empty() && !function.ScaleIsNotNegative(first, count)) {
      return Refuse("some of its scales are negative, and " + target.needs_scale_not_negative);
    }
    if (IsBatchNorm(graph_.layers[target.layer])) continue;
    CKPT_ASSIGN_OR_RETURN(LinearLayer linear,
                          LinearLayerOfGraph(context_.manifest, context_.shared, target.layer));
    parts.push_back({.layer = std::move(linear),
                     .first_channel = first,
                     .adds_shift = target.adds_shift,
                     .order = target.order});
  }
  return parts;
}

void GraphFolder::SetFolded(std::size_t i, FoldDirection direction,
                            const std::vector<FoldPart>& parts,
                            const std::vector<GraphTarget>& targets) {
  std::string names;
  for (const GraphTarget& target : targets) {
    names += (names.empty() ? "" : ", ") + Quoted(graph_.layers[target.layer].name);
  }
  const std::string fact =
      (direction == FoldDirection::kForward ? ": it is read by " : ": it reads ") + names;
  context_.SetFolded(i, direction, parts, {{EvidenceSource::kGraph, graph_.source + fact}});
  walk_.MarkFolded(*context_.candidates[i].batch_norm.layer);
}

Status GraphFolder::FoldBackward(Candidate& candidate, std::size_t i) {
  CKPT_ASSIGN_OR_RETURN(const auto targets, walk_.Backward(*candidate.batch_norm.layer, false));
  CKPT_ASSIGN_OR_RETURN(const auto parts, PartsOf(targets, *candidate.function));
  CKPT_RETURN_IF_ERROR(context_.steps.Backward(*candidate.function, parts));
  SetFolded(i, FoldDirection::kBackward, parts, targets);
  return {};
}

Status GraphFolder::FoldForward(Candidate& candidate, std::size_t i) {
  CKPT_ASSIGN_OR_RETURN(const auto targets, walk_.Forward(*candidate.batch_norm.layer));
  CKPT_ASSIGN_OR_RETURN(const auto parts, PartsOf(targets, *candidate.function));
  CKPT_RETURN_IF_ERROR(context_.steps.Forward(*candidate.function, parts));
  SetFolded(i, FoldDirection::kForward, parts, targets);
  return {};
}

Status GraphFolder::Merge(Candidate& candidate, std::size_t i) {
  CKPT_ASSIGN_OR_RETURN(const auto targets, walk_.Backward(*candidate.batch_norm.layer, true));
  CKPT_ASSIGN_OR_RETURN(const auto parts, PartsOf(targets, *candidate.function));
  std::map<std::size_t, BatchNormFunction> merged;
  for (const GraphTarget& target : targets) {
    const Layer& layer = graph_.layers[target.layer];
    if (!IsBatchNorm(layer)) continue;
    const auto known = by_layer_.find(target.layer);
    if (known == by_layer_.end() || !context_.candidates[known->second].function) {
      return Refuse(Quoted(layer.name) + " has to stay as it is");
    }
    const Candidate& other = context_.candidates[known->second];
    BatchNormFunction function = *other.function;
    function.Append(*candidate.function, target.first_channel, target.adds_shift);
    CKPT_RETURN_IF_ERROR(WithMerged(context_.manifest, context_.shared, other.batch_norm, function,
                                    context_.options.cast));
    merged.emplace(known->second, std::move(function));
  }
  if (merged.empty()) return Refuse("what feeds it cannot take it");
  CKPT_RETURN_IF_ERROR(context_.steps.Backward(*candidate.function, parts));
  SetFolded(i, FoldDirection::kMerged, parts, targets);
  for (auto& [other, function] : merged) {
    context_.candidates[other].function = std::move(function);
    context_.candidates[other].merged_into = true;
    candidate.batch_norms.push_back(other);
  }
  return {};
}

Status GraphFolder::Try(std::size_t i, Attempt attempt, const char* what) {
  Candidate& candidate = context_.candidates[i];
  // A scale is known by the layer in front of it.
  const bool backward = attempt == &GraphFolder::FoldBackward;
  if (!candidate.IsOpen() || (candidate.is_scale && !backward)) return {};
  const Status status = (this->*attempt)(candidate, i);
  return status ? Status{} : context_.Explain(i, what, status.error());
}

Status GraphFolder::Fold() {
  const std::vector<std::size_t> order = InModelOrder();
  for (const std::size_t i : order) {
    CKPT_RETURN_IF_ERROR(Try(i, &GraphFolder::FoldBackward, "not into what feeds it"));
  }
  // The last one first: once it is folded, the one before it sees what comes behind.
  for (auto i = order.rbegin(); i != order.rend(); ++i) {
    CKPT_RETURN_IF_ERROR(Try(*i, &GraphFolder::FoldForward, "not into what reads it"));
  }
  for (const std::size_t i : order) {
    Candidate& candidate = context_.candidates[i];
    KeepingReason reason = candidate.reason;
    CKPT_RETURN_IF_ERROR(Try(i, &GraphFolder::Merge, ""));
    candidate.reason = std::move(reason);  // why it was not folded says enough
  }
  return {};
}

}  // namespace

Status FoldOverGraph(FoldContext& context) {
  CKPT_RETURN_IF_ERROR(GraphFolder(context).Fold());
  for (Candidate& candidate : context.candidates) {
    if (candidate.IsOpen() && candidate.reason.text.empty()) {
      candidate.reason = "no layer of the graph is this batch norm";
    }
  }
  if (context.options.pair_by_order || context.options.pair_by_name) {
    context.notes.push_back(
        "the graph says what feeds what: nothing was paired by order or by name");
  }
  return {};
}

}  // namespace ckpt
