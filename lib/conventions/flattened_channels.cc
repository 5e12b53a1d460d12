#include "conventions/flattened_channels.h"

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "fold/channel_view.h"
#include "fold/reason.h"

namespace ckpt {
namespace {

class Walk {
 public:
  explicit Walk(const Manifest& manifest) : manifest_(manifest), graph_(*manifest.graph) {}

  Result<std::optional<std::int64_t>> BeforeDense(ValueId value) {
    while (true) {
      const Node* node = Producer(value);
      if (node == nullptr) return None();
      const Layer& layer = graph_.layers[node->layer];
      switch (layer.kind) {
        case OpKind::kFlatten: {
          const bool moves_channels_last = layer.axis == 1;
          if (node->inputs.empty()) return Unknown(layer);
          return Flattened(node->inputs[0], moves_channels_last);
        }
        case OpKind::kIdentity:
        case OpKind::kActivation:
        case OpKind::kBatchNorm:
          if (node->inputs.size() != 1) return Unknown(layer);
          value = node->inputs[0];
          break;
        case OpKind::kReshape:
        case OpKind::kConcat:
        case OpKind::kAdd:
        case OpKind::kOther:  // another norm, a product, a layer of one's own
          return PassesAFlatten(*node) ? Unknown(layer) : None();
        default:
          return None();
      }
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
    if (graph_.layers[node.layer].kind == OpKind::kReshape) return true;
    return std::any_of(node.inputs.begin(), node.inputs.end(), [&](ValueId value) {
      for (const Node* at = Producer(value); at != nullptr;) {
        const OpKind kind = graph_.layers[at->layer].kind;
        if (kind == OpKind::kFlatten || kind == OpKind::kReshape) return true;
        const bool passes = kind == OpKind::kIdentity || kind == OpKind::kActivation ||
                            kind == OpKind::kBatchNorm || kind == OpKind::kAdd ||
                            kind == OpKind::kConcat;
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
      switch (layer.kind) {
        case OpKind::kConv:
        case OpKind::kConvTranspose:
        case OpKind::kDepthwiseConv:
        case OpKind::kSeparableConv:
          channels_first = layer.axis == 1;
          return OutChannels(layer);
        case OpKind::kConcat: {
          std::int64_t sum = 0;
          for (const ValueId input : node->inputs) {
            CKPT_ASSIGN_OR_RETURN(const std::int64_t one,
                                  ChannelsOf(input, channels_first, depth + 1));
            sum += one;
          }
          const bool along_channels =
              layer.axis && (*layer.axis == (channels_first ? 1 : 3) || *layer.axis == -1);
          if (!along_channels)
            return Refuse("of what " + Quoted(layer.name) + " joins is not known");
          return sum;
        }
        case OpKind::kIdentity:
        case OpKind::kActivation:
        case OpKind::kBatchNorm:
        case OpKind::kAdd:
        case OpKind::kMaxPool:
        case OpKind::kAveragePool:
        case OpKind::kZeroPad:
        case OpKind::kUpsample:
          if (node->inputs.empty()) return Refuse(Quoted(layer.name) + " has no input");
          value = node->inputs[0];
          break;
        default:
          return Refuse("how many channels " + Quoted(layer.name) + " (" + layer.op_type +
                        ") has, which is flattened before it, is not known");
      }
    }
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
      switch (next.kind) {
        case OpKind::kReshape:
          open.emplace_back(node.output, true);
          break;
        case OpKind::kIdentity:
        case OpKind::kActivation:
        case OpKind::kBatchNorm:
          open.emplace_back(node.output, reshaped);
          break;
        case OpKind::kConv:
        case OpKind::kConvTranspose:
        case OpKind::kDepthwiseConv:
        case OpKind::kSeparableConv:
        case OpKind::kMaxPool:
        case OpKind::kAveragePool:
        case OpKind::kUpsample:
        case OpKind::kZeroPad:
          if (!reshaped) break;
          return Refuse("its outputs are reshaped into the image that " + Quoted(next.name) + " (" +
                            next.op_type +
                            ") reads, whose axes another framework has in another order",
                        Remedy::kGiveLayoutAsRead);
        default:
          break;
      }
    }
  }
  return {};
}

}  // namespace ckpt
