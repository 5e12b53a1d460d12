#include "formats/onnx/model_edits.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <string>
#include <vector>

#include "formats/onnx/graph_edits.h"
#include "formats/onnx/graph_values.h"
#include "formats/onnx/inner_graphs.h"

namespace ckpt::formats::onnx {
namespace {

using onnx_proto::GraphProto;

// The edits of one graph, whose nodes are those layers.
GraphEdits EditsWithin(const GraphEdits& edits, LayerId first, LayerId count) {
  const auto within = [&](LayerId id) { return id >= first && id - first < count; };
  const auto filtered = [&](const std::vector<LayerId>& layers) {
    std::vector<LayerId> kept;
    std::copy_if(layers.begin(), layers.end(), std::back_inserter(kept), within);
    return kept;
  };
  GraphEdits own{filtered(edits.removed),
                 filtered(edits.gained_bias),
                 filtered(edits.to_affine),
                 filtered(edits.to_inference),
                 {}};
  std::copy_if(edits.rebound.begin(), edits.rebound.end(), std::back_inserter(own.rebound),
               [&](const Rebound& rebound) { return within(rebound.layer); });
  return own;
}

std::size_t CountOf(const GraphEdits& edits) {
  return edits.removed.size() + edits.gained_bias.size() + edits.to_affine.size() +
         edits.to_inference.size() + edits.rebound.size();
}

// A graph of the model, and the layers that its nodes are.
struct GraphOfLayers {
  GraphProto* graph;
  LayerId first;
  onnx_proto::ModelProto view = {};  // of an inner graph
};

// The main graph first.
std::vector<GraphOfLayers> GraphsOfLayers(onnx_proto::ModelProto& model) {
  std::vector<GraphOfLayers> graphs = {{model.mutable_graph(), 0}};
  auto next = static_cast<LayerId>(model.graph().node_size());
  const InnerGraphViews views(model);
  const auto named = [](const std::string& name) {
    onnx_proto::ValueInfoProto info;
    info.set_name(name);
    return info;
  };
  for (const InnerGraph& inner : InnerGraphsOf(model)) {
    graphs.push_back({inner.graph, next, views.ViewOf(inner, named)});
    next += static_cast<LayerId>(inner.graph->node_size());
  }
  return graphs;
}

}  // namespace

Status ApplyEdits(const Manifest& manifest, const GraphEdits& edits,
                  onnx_proto::ModelProto& model) {
  std::set<std::string> taken = GraphValues(model.graph()).names();
  for (const Rebound& rebound : edits.rebound) taken.insert(rebound.tensor);
  std::vector<GraphOfLayers> graphs = GraphsOfLayers(model);
  std::size_t applied = 0;
  // What is nested in a node first: the node may move.
  for (std::size_t i = graphs.size(); i-- != 0;) {
    const GraphOfLayers& edited = graphs[i];
    const auto count = static_cast<LayerId>(edited.graph->node_size());
    const GraphEdits own = EditsWithin(edits, edited.first, count);
    applied += CountOf(own);
    if (i != 0 && CountOf(own) == 0) continue;
    const GraphProto* const view = i == 0 ? edited.graph : &edited.view.graph();
    CKPT_RETURN_IF_ERROR(
        EditNodes(manifest, own, {edited.graph, edited.first, view, OpsetOf(model)}, taken));
  }
  if (applied == CountOf(edits)) return {};
  return Fail(ErrorCode::kInternal, "an edit names a layer that is no node of a graph");
}

}  // namespace ckpt::formats::onnx
