// Calls of one layer that a graph has as several.
#include <algorithm>
#include <map>
#include <tuple>
#include <utility>
#include <vector>

#include "ckpt/bind_graph.h"
#include "ckpt/layer_computation.h"

namespace ckpt {
namespace {

// Layers of one tensor that are compared: the work stays linear.
constexpr std::size_t kMaxCompared = 64;

// Of a convolution, either way; null for what has none.
const network::Padding* PaddingOf(const Layer& layer) {
  if (const auto* forward = std::get_if<network::Convolution>(&layer.computation)) {
    return &forward->padding;
  }
  const auto* back = std::get_if<network::TransposedConvolution>(&layer.computation);
  return back == nullptr ? nullptr : &back->padding;
}

bool PadsNothing(const network::Padding& padding) {
  const auto none = [](const network::Sizes& sizes) {
    return std::all_of(sizes.begin(), sizes.end(), [](auto size) { return size == 0; });
  };
  return padding.rule == network::PaddingRule::kExplicit && none(padding.before) &&
         none(padding.after);
}

// Which elements meet zeros depends on strides and dilation, too.
bool PadAlike(const Layer& a, const Layer& b) {
  const network::Padding *of_a = PaddingOf(a), *of_b = PaddingOf(b);
  if (of_a == nullptr || of_b == nullptr) return true;
  if (PadsNothing(*of_a) && PadsNothing(*of_b)) return true;
  const auto* x = std::get_if<network::Convolution>(&a.computation);
  const auto* y = std::get_if<network::Convolution>(&b.computation);
  const bool windows =
      x == nullptr || y == nullptr || (x->stride == y->stride && x->dilation == y->dilation);
  return *of_a == *of_b && windows;
}

bool WorkAlike(const Layer& a, const Layer& b) {
  const auto facts = [](const Layer& layer) {
    return std::tie(layer.op_type, layer.tensors, layer.missing_tensors, layer.layout, layer.groups,
                    layer.activation, layer.axis, layer.epsilon, layer.momentum, layer.not_affine,
                    layer.training_mode, layer.kernel_factor, layer.bias_factor, layer.not_forward);
  };
  return facts(a) == facts(b) && a.computation.index() == b.computation.index() && PadAlike(a, b);
}

}  // namespace

void JoinCalls(ModelGraph& graph) {
  std::vector<LayerId> layer_of(graph.layers.size());
  std::vector<Layer> layers;
  std::map<TensorId, std::vector<LayerId>> by_tensor;
  for (LayerId id = 0; id < graph.layers.size(); ++id) {
    Layer& layer = graph.layers[id];
    const bool may_be_called = IsLinear(layer) || IsBatchNorm(layer);
    layer_of[id] = static_cast<LayerId>(layers.size());
    if (may_be_called && !layer.tensors.empty()) {
      std::vector<LayerId>& others = by_tensor[layer.tensors.begin()->second];
      const auto same = std::find_if(others.begin(), others.end(), [&](LayerId other) {
        return WorkAlike(layers[other], layer);
      });
      if (same != others.end()) {
        layer_of[id] = *same;
        continue;
      }
      if (others.size() < kMaxCompared) others.push_back(layer_of[id]);
    }
    layers.push_back(std::move(layer));
  }
  graph.layers = std::move(layers);
  for (Node& node : graph.nodes) node.layer = layer_of[node.layer];
}

}  // namespace ckpt
