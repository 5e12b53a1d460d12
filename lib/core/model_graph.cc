#include "ckpt/model_graph.h"

#include <utility>

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

std::optional<KernelLayout> KernelLayoutFromName(std::string_view name) {
  // Any number of spatial axes, by the letters that are used for them: D, H, W.
  std::string channels;
  for (const char c : name) {
    if (c == 'I' || c == 'O' || c == 'M') channels += c;
    if (std::string_view("IOMDHW").find(c) == std::string_view::npos) return std::nullopt;
  }
  const bool spatial_last = channels.size() == 2 && name.starts_with(channels);
  const bool spatial_first = channels.size() == 2 && name.ends_with(channels);
  if (spatial_first && channels == "IO") return KernelLayout::kSpatialInOut;
  if (spatial_last && channels == "OI") return KernelLayout::kOutInSpatial;
  if (spatial_first && channels == "OI") return KernelLayout::kSpatialOutIn;
  if (spatial_last && channels == "IO") return KernelLayout::kInOutSpatial;
  if (spatial_first && channels == "IM") return KernelLayout::kSpatialInMultiplier;
  return std::nullopt;
}

ValueId ModelGraph::AddCall(Layer layer, std::vector<ValueId> inputs,
                            std::optional<std::int64_t> rank) {
  const auto node = static_cast<NodeId>(nodes.size());
  const auto output = static_cast<ValueId>(values.size());
  for (const ValueId input : inputs) values[input].consumers.push_back(node);
  nodes.push_back({static_cast<LayerId>(layers.size()), std::move(inputs), output});
  values.push_back({node, {}, false, rank});
  layers.push_back(std::move(layer));
  return output;
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
