// Graphs inside of nodes (If, Loop, Scan) whose batch norms are layers, like those of the main
// graph.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "formats/onnx/constant_tensors.h"
#include "formats/onnx/model_functions.h"
#include "formats/onnx_proto/onnx.pb.h"

namespace ckpt::formats::onnx {

bool IsBatchNormNode(const onnx_proto::NodeProto& node);

// It has a batch norm, and neither it nor what is nested in it has tensors of its own: they are
// initializers of the main graph (see FlattenModel).
bool HasLayers(const onnx_proto::GraphProto& graph);

inline constexpr std::size_t kMainGraph = static_cast<std::size_t>(-1);

struct InnerGraph {
  onnx_proto::GraphProto* graph;
  std::string path;    // in front of the names of its layers: "choose/then_branch/"
  std::size_t parent;  // the one around it, or kMainGraph
  // What graphs around it, the main graph aside, define: not the main graph's, by whatever name.
  // Outer ones first; the parent knows nothing of those from `between` on.
  using Names = std::shared_ptr<const std::set<std::string>>;
  std::vector<Names> around = {};
  std::size_t between = 0;

  bool IsDefinedAround(const std::string& name, std::size_t from = 0) const {
    for (std::size_t i = from; i < around.size(); ++i) {
      if (around[i]->contains(name)) return true;
    }
    return false;
  }
};

// Those with HasLayers, outer ones before those within.
std::vector<InnerGraph> InnerGraphsOf(onnx_proto::ModelProto& model);

// Inner graphs as main graphs of models.
class InnerGraphViews {
 public:
  using Describe = std::function<onnx_proto::ValueInfoProto(const std::string&)>;
  // `model` must outlive it.
  explicit InnerGraphViews(const onnx_proto::ModelProto& model);

  // Stored constants of the main graph that it reads are its initializers, other values from around
  // it are inputs, as `describe` says them. Node i is node i.
  onnx_proto::ModelProto ViewOf(const InnerGraph& inner, const Describe& describe) const;

 private:
  void AddCalledFunctions(const onnx_proto::GraphProto& graph, onnx_proto::ModelProto& view) const;

  const onnx_proto::ModelProto& model_;
  const ConstantTensors constants_;
  const ModelFunctions functions_;
};

// Is the input of its view a value from around it?
bool IsOfOuterGraph(const InnerGraph& inner, const std::string& input);

}  // namespace ckpt::formats::onnx
