#include "formats/tf_graph/merged_tensors.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <set>
#include <string>
#include <utility>

namespace ckpt::formats {
namespace {

// By the old place of a tensor, its new one.
using Moves = std::vector<TensorId>;

void Move(const Moves& moves, std::optional<TensorId>& id) {
  if (id) id = moves[id->index];
}

void MoveAll(const Moves& moves, std::vector<TensorId>& ids) {
  for (TensorId& id : ids) id = moves[id.index];
}

void MoveConstants(const Moves& moves, std::size_t variables, OpBody& body) {
  for (Op& op : body.ops) {
    if (op.tensor) op.tensor = moves[variables + op.tensor->index];
  }
}

void MakeNamesUnique(const std::vector<TensorInfo>& variables, std::vector<TensorInfo>& constants) {
  std::set<std::string> taken;
  for (const TensorInfo& info : variables) taken.insert(info.name);
  for (TensorInfo& info : constants) {
    while (!taken.insert(info.name).second) info.name += "/constant";
  }
}

}  // namespace

std::vector<MergedPlace> MergeConstants(GraphTensors constants, OpGraph& graph,
                                        Manifest& manifest) {
  std::vector<TensorInfo> all = std::move(manifest.tensors);
  const std::size_t variables = all.size();
  MakeNamesUnique(all, constants.tensors);
  for (TensorInfo& info : constants.tensors) all.push_back(std::move(info));
  std::vector<std::uint32_t> order(all.size());
  std::iota(order.begin(), order.end(), 0u);
  std::stable_sort(order.begin(), order.end(),
                   [&](std::uint32_t a, std::uint32_t b) { return all[a].name < all[b].name; });
  Moves moves(all.size());
  std::vector<MergedPlace> places(all.size());
  manifest.tensors.clear();
  for (const std::uint32_t old : order) {
    const auto place = static_cast<std::uint32_t>(manifest.tensors.size());
    moves[old] = {place};
    places[place] = old < variables ? MergedPlace{{old}, nullptr}
                                    : MergedPlace{{0}, constants.values[old - variables]};
    manifest.tensors.push_back(std::move(all[old]));
  }
  for (TensorInfo& info : manifest.tensors) {
    Move(moves, info.slot_of);
    Move(moves, info.alias_of);
  }
  MoveAll(moves, manifest.stored_order);
  for (Problem& problem : manifest.problems) MoveAll(moves, problem.tensors);
  MoveConstants(moves, variables, graph.top);
  for (auto& [name, function] : graph.functions) MoveConstants(moves, variables, function.body);
  return places;
}

}  // namespace ckpt::formats
