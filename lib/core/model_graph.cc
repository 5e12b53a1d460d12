#include "ckpt/model_graph.h"

namespace ckpt {

std::string_view Name(KernelLayout layout) noexcept {
  switch (layout) {
    case KernelLayout::kSpatialInOut:
      return "HWIO";
    case KernelLayout::kSpatialOutIn:
      return "HWOI";
    case KernelLayout::kSpatialInMultiplier:
      return "HWIM";
    case KernelLayout::kOutInSpatial:
      return "OIHW";
    case KernelLayout::kInOutSpatial:
      return "IOHW";
  }
  return "HWIO";
}

std::vector<NodeId> ModelGraph::CallsOf(LayerId layer) const {
  std::vector<NodeId> calls;
  for (NodeId id = 0; id < nodes.size(); ++id) {
    if (nodes[id].layer == layer) calls.push_back(id);
  }
  return calls;
}

std::optional<LayerId> ModelGraph::FindLayer(std::string_view name) const {
  for (LayerId id = 0; id < layers.size(); ++id) {
    if (layers[id].name == name) return id;
  }
  return std::nullopt;
}

}  // namespace ckpt
