#include "formats/onnx/layer_origins.h"

#include <array>
#include <string>
#include <utility>

#include "formats/onnx/constant_tensors.h"
#include "formats/onnx/graph_values.h"
#include "formats/onnx/module_path.h"

namespace ckpt::formats::onnx {
namespace {

using onnx_proto::NodeProto;

class Reader {
 public:
  explicit Reader(const onnx_proto::ModelProto& model)
      : graph_(model.graph()), constants_(graph_), values_(graph_), opset_(OpsetOf(model)) {}

  LayerOrigin OriginOf(int index, const Layer& layer) const {
    const NodeProto& node = graph_.node(index);
    LayerOrigin origin{.module = ModulePathOf(node), .read_as = {}, .rewritten = RewritingOf(node)};
    using Inputs = std::array<std::pair<const char*, int>, 6>;
    static constexpr Inputs kInputs = {{{"gamma", 1},
                                        {"beta", 2},
                                        {"moving_mean", 3},
                                        {"moving_variance", 4},
                                        {"kernel", 1},
                                        {"bias", 2}}};
    for (const auto& [local, input] : kInputs) {
      if (!layer.tensors.contains(local)) continue;
      std::string name = input < node.input_size() ? node.input(input) : std::string();
      if (name.empty()) name = AddedBias(index);
      if (constants_.Find(name) != nullptr && constants_.NameOf(name) != name)
        origin.read_as.emplace(local, std::move(name));
    }
    return origin;
  }

 private:
  // A bias that a node of its own adds.
  std::string AddedBias(int index) const {
    const auto addition = FindBiasAddition(graph_, values_, constants_, opset_, index);
    return addition ? graph_.node(addition->node).input(addition->input) : std::string();
  }

  const onnx_proto::GraphProto& graph_;
  const ConstantTensors constants_;
  const GraphValues values_;
  const std::int64_t opset_;
};

}  // namespace

std::vector<LayerOrigin> LayerOriginsOf(const onnx_proto::ModelProto& model,
                                        const ModelGraph& graph) {
  std::vector<LayerOrigin> origins(graph.layers.size());
  const Reader reader(model);
  for (int i = 0; i < model.graph().node_size(); ++i) {
    const auto id = static_cast<LayerId>(i);
    const OpKind kind = graph.layers[id].kind;
    if (kind != OpKind::kOther && kind != OpKind::kActivation)
      origins[id] = reader.OriginOf(i, graph.layers[id]);
  }
  return origins;
}

}  // namespace ckpt::formats::onnx
