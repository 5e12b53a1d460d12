#include "serving/bind_layers.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "ckpt/bind_graph.h"
#include "ckpt/layer_computation.h"

namespace ckpt {
namespace {

constexpr std::uint64_t kMaxChannels = std::uint64_t{1} << 20;

// A gamma of ones and a beta of zeros are none: layers that were built without them have such
// constants in their graph.
Result<bool> IsAsAbsent(const Checkpoint& model, const std::string& local, TensorId id) {
  if (local != "gamma" && local != "beta") return false;
  const double neutral = local == "gamma" ? 1 : 0;
  CKPT_ASSIGN_OR_RETURN(const std::vector<double> values, ReadDoubles(model, id, kMaxChannels));
  return std::all_of(values.begin(), values.end(), [&](double value) { return value == neutral; });
}

using SourceOf = std::function<std::optional<TensorId>(TensorId)>;

Status BindToSource(const Checkpoint& model, const SourceOf& source_of, Layer& layer) {
  std::map<std::string, TensorId> own;
  for (const auto& [local, id] : layer.tensors) {
    if (const auto here = source_of(id)) {
      own.emplace(local, *here);
      continue;
    }
    if (IsBatchNorm(layer)) {
      CKPT_ASSIGN_OR_RETURN(const bool absent, IsAsAbsent(model, local, id));
      if (absent) continue;
      layer.fed_tensors.emplace(local, "a constant of the graph that the file does not have");
    }
    layer.missing_tensors.push_back(local);
  }
  layer.tensors = std::move(own);
  if (IsBatchNorm(layer)) {
    layer.has_scale = layer.tensors.contains("gamma");
    layer.has_center = layer.tensors.contains("beta");
  }
  // What is written has no graph: a tensor belongs to its name, and not to each that reads it.
  layer.can_rebind = false;
  layer.axes_behind_channels.reset();
  return {};
}

}  // namespace

Result<ModelGraph> BindLayers(const Checkpoint& model, const SourceOf& source_of) {
  ModelGraph graph = *model.manifest().graph;
  for (Layer& layer : graph.layers) CKPT_RETURN_IF_ERROR(BindToSource(model, source_of, layer));
  graph.taken_names.clear();
  JoinCalls(graph);
  return graph;
}

}  // namespace ckpt
