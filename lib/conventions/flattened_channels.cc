#include "conventions/flattened_channels.h"

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "ckpt/layer_computation.h"
#include "fold/channel_view.h"
#include "fold/reason.h"

namespace ckpt {
namespace {

// The elements stay where they are, and none of them meets another.
bool ActsOnElements(const Layer& layer) {
  return IsIdentity(layer) || IsActivation(layer) || IsBatchNorm(layer);
}

class Walk {
 public:
  explicit Walk(const Manifest& manifest) : manifest_(manifest), graph_(*manifest.graph) {}

  Result<std::optional<std::int64_t>> BeforeDense(ValueId value) {
    while (true) {
      const Node* node = Producer(value);
      if (node == nullptr) return None();
      const Layer& layer = graph_.layers[node->layer];
      if (IsFlatten(layer)) {
        const bool moves_channels_last = layer.axis == 1;
        if (node->inputs.empty()) return Unknown(layer);
        return Flattened(node->inputs[0], moves_channels_last);
      }
      if (layer.is_input || IsLinear(layer) || KeepsChannels(layer) || PoolsWholly(layer)) {
        return None();
      }
      // Another norm, a product, a layer of one's own.
      if (!ActsOnElements(layer)) return PassesAFlatten(*node) ? Unknown(layer) : None();
      if (node->inputs.size() != 1) return Unknown(layer);
      value = node->inputs[0];
    }
  }

 private:
  using Channels = Result<std::optional<std::int64_t>>;
  static Channels None() { return std::optional<std::int64_t>{}; }
  static Channels Unknown(const Layer& layer) {
    return Refuse("how " + Quoted(layer.name) + " (" + layer.op_type +
                  ") before it lays out its inputs is not known");
  }

  const Node* Producer(ValueId value) const {
    const auto& producer = graph_.values[value].producer;
    return producer ? &graph_.nodes[*producer] : nullptr;
  }

  // Does a reshape, or a flatten on the way, stand behind one of the inputs?
  bool PassesAFlatten(const Node& node) const {
    if (Computes<network::Reshape>(graph_.layers[node.layer])) return true;
    return std::any_of(node.inputs.begin(), node.inputs.end(), [&](ValueId value) {
      for (const Node* at = Producer(value); at != nullptr;) {
        const Layer& layer = graph_.layers[at->layer];
        if (IsFlatten(layer) || Computes<network::Reshape>(layer)) return true;
        const bool passes =
            ActsOnElements(layer) || IsAddition(layer) || Computes<network::Concatenate>(layer);
        if (!passes || at->inputs.empty()) return false;
        at = Producer(at->inputs[0]);
      }
      return false;
    });
  }

  // Of the value that is flattened.
  Channels Flattened(ValueId value, bool moves_channels_last) {
    bool channels_first = false;
    CKPT_ASSIGN_OR_RETURN(const std::int64_t channels, ChannelsOf(value, channels_first, 0));
    if (channels_first && !moves_channels_last) return None();
    return std::optional(channels);
  }

  Result<std::int64_t> ChannelsOf(ValueId value, bool& channels_first, int depth) {
    constexpr int kMaxDepth = 64;  // of concatenations in concatenations
    while (true) {
      const Node* node = Producer(value);
      if (node == nullptr || depth > kMaxDepth) {
        return Refuse("how many channels the flatten before it reads is not known");
      }
      const Layer& layer = graph_.layers[node->layer];
      if (IsConvolution(layer) || IsTransposed(layer)) {
        channels_first = layer.axis == 1;
        return OutChannels(layer);
      }
      if (Computes<network::Concatenate>(layer)) return Joined(*node, channels_first, depth);
      if (!ActsOnElements(layer) && !IsAddition(layer) && !KeepsChannels(layer)) {
        return Refuse("how many channels " + Quoted(layer.name) + " (" + layer.op_type +
                      ") has, which is flattened before it, is not known");
      }
      if (node->inputs.empty()) return Refuse(Quoted(layer.name) + " has no input");
      value = node->inputs[0];
    }
  }

  Result<std::int64_t> Joined(const Node& node, bool& channels_first, int depth) {
    const Layer& layer = graph_.layers[node.layer];
    std::int64_t sum = 0;
    for (const ValueId input : node.inputs) {
      CKPT_ASSIGN_OR_RETURN(const std::int64_t one, ChannelsOf(input, channels_first, depth + 1));
      sum += one;
    }
    const bool along_channels =
        layer.axis && (*layer.axis == (channels_first ? 1 : 3) || *layer.axis == -1);
    if (!along_channels) return Refuse("of what " + Quoted(layer.name) + " joins is not known");
    return sum;
  }

  Result<std::int64_t> OutChannels(const Layer& layer) const {
    const auto kernel = layer.tensors.find("kernel");
    if (kernel == layer.tensors.end()) return Refuse(Quoted(layer.name) + " has no kernel");
    CKPT_ASSIGN_OR_RETURN(
        const KernelViews views,
        ViewsOf(manifest_.tensors[kernel->second.index].shape, layer.layout, layer.groups));
    return static_cast<std::int64_t>(views.out_channels);
  }

  const Manifest& manifest_;
  const ModelGraph& graph_;
};

}  // namespace

Result<std::optional<std::int64_t>> FlattenedChannels(const Manifest& manifest, LayerId layer) {
  std::optional<std::int64_t> channels;
  bool first = true;
  for (const NodeId call : manifest.graph->CallsOf(layer)) {
    const Node& node = manifest.graph->nodes[call];
    if (node.inputs.size() != 1) continue;
    CKPT_ASSIGN_OR_RETURN(const auto one, Walk(manifest).BeforeDense(node.inputs[0]));
    if (!first && one != channels) return Refuse("its calls read what is laid out in two ways");
    channels = one;
    first = false;
  }
  return channels;
}

Status CheckMakesNoImage(const Manifest& manifest, LayerId layer) {
  const ModelGraph& graph = *manifest.graph;
  std::set<std::pair<ValueId, bool>> seen;
  std::vector<std::pair<ValueId, bool>> open;  // a value, and whether it was reshaped on the way
  for (const NodeId call : graph.CallsOf(layer)) open.emplace_back(graph.nodes[call].output, false);
  while (!open.empty()) {
    const auto [value, reshaped] = open.back();
    open.pop_back();
    if (!seen.emplace(value, reshaped).second) continue;
    for (const NodeId reader : graph.values[value].consumers) {
      const Node& node = graph.nodes[reader];
      const Layer& next = graph.layers[node.layer];
      if (Computes<network::Reshape>(next)) {
        open.emplace_back(node.output, true);
      } else if (ActsOnElements(next)) {
        open.emplace_back(node.output, reshaped);
      } else if (reshaped && (IsConvolution(next) || IsTransposed(next) || KeepsChannels(next))) {
        return Refuse("its outputs are reshaped into the image that " + Quoted(next.name) + " (" +
                          next.op_type +
                          ") reads, whose axes another framework has in another order",
                      Remedy::kGiveLayoutAsRead);
      }
    }
  }
  return {};
}

}  // namespace ckpt
