#include "formats/onnx/layer_origins.h"

#include <array>
#include <string>
#include <utility>

#include "ckpt/layer_computation.h"
#include "formats/onnx/constant_tensors.h"
#include "formats/onnx/module_path.h"

namespace ckpt::formats::onnx {
namespace {

using onnx_proto::NodeProto;

class Reader {
 public:
  Reader(const onnx_proto::ModelProto& model, const Manifest& manifest)
      : manifest_(manifest), graph_(model.graph()), constants_(graph_) {}

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
      const auto tensor = layer.tensors.find(local);
      if (tensor == layer.tensors.end()) continue;
      std::string name = input < node.input_size() ? node.input(input) : std::string();
      if (const auto at = layer.read_by.find(local); at != layer.read_by.end()) {
        name = ReadBy(at->second, tensor->second);
      }
      if (constants_.Find(name) != nullptr && constants_.NameOf(name) != name)
        origin.read_as.emplace(local, std::move(name));
    }
    return origin;
  }

 private:
  // What that node calls the tensor.
  std::string ReadBy(std::uint32_t index, TensorId tensor) const {
    const std::string& stored = manifest_.tensors[tensor.index].name;
    for (const std::string& input : graph_.node(static_cast<int>(index)).input()) {
      if (constants_.Find(input) != nullptr && constants_.NameOf(input) == stored) return input;
    }
    return {};
  }

  const Manifest& manifest_;
  const onnx_proto::GraphProto& graph_;
  const ConstantTensors constants_;
};

}  // namespace

std::vector<LayerOrigin> LayerOriginsOf(const onnx_proto::ModelProto& model,
                                        const Manifest& manifest) {
  const ModelGraph& graph = *manifest.graph;
  std::vector<LayerOrigin> origins(graph.layers.size());
  const Reader reader(model, manifest);
  for (int i = 0; i < model.graph().node_size(); ++i) {
    const auto id = static_cast<LayerId>(i);
    const Layer& layer = graph.layers[id];
    if (IsLinear(layer) || IsBatchNorm(layer)) origins[id] = reader.OriginOf(i, layer);
  }
  return origins;
}

}  // namespace ckpt::formats::onnx
