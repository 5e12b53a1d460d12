#include "formats/torch/tensor_reach.h"

#include "formats/torch/tensor_view.h"

namespace ckpt::formats {
namespace {

template <class Visit>
void ForEachChild(const PickleGraph& graph, PickleId id, const Visit& visit) {
  switch (graph.kind(id)) {
    case PickleKind::kTuple:
    case PickleKind::kList:
    case PickleKind::kDict:
    case PickleKind::kSet:
      for (const PickleId item : graph.items(id)) visit(item);
      return;
    case PickleKind::kObject: {
      const PickleObject& object = graph.object(id);
      visit(object.arguments);
      for (const PickleId state : object.states()) visit(state);
      for (const PickleId item : object.pairs()) visit(item);
      for (const PickleId item : object.appended()) visit(item);
      return;
    }
    default:
      return;
  }
}

}  // namespace

std::vector<bool> ReachTensors(const PickleGraph& graph) {
  // The parents of each value, one after the other: those of `id` begin at starts[id].
  std::vector<std::uint64_t> starts(graph.size() + 1, 0);
  std::vector<bool> reaches(graph.size(), false);
  std::vector<PickleId> pending;
  for (PickleId id = 0; id < graph.size(); ++id) {
    if (IsTensor(graph, id)) {
      reaches[id] = true;
      pending.push_back(id);
    }
    ForEachChild(graph, id, [&](PickleId child) { ++starts[child + 1]; });
  }
  for (std::size_t i = 1; i < starts.size(); ++i) starts[i] += starts[i - 1];
  std::vector<PickleId> parents(static_cast<std::size_t>(starts.back()));
  std::vector<std::uint64_t> next(starts.begin(), starts.end() - 1);
  for (PickleId id = 0; id < graph.size(); ++id) {
    ForEachChild(graph, id,
                 [&](PickleId child) { parents[static_cast<std::size_t>(next[child]++)] = id; });
  }
  while (!pending.empty()) {
    const PickleId id = pending.back();
    pending.pop_back();
    for (std::uint64_t i = starts[id]; i < starts[id + 1]; ++i) {
      const PickleId parent = parents[static_cast<std::size_t>(i)];
      if (reaches[parent]) continue;
      reaches[parent] = true;
      pending.push_back(parent);
    }
  }
  return reaches;
}

}  // namespace ckpt::formats
