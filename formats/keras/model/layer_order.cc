#include "formats/keras/model/layer_order.h"

#include <algorithm>
#include <limits>
#include <optional>

namespace ckpt::formats::keras {
namespace {

class OrderFinder {
 public:
  OrderFinder(const ModelRecord& model, const RemovedLayers& removed)
      : model_(model),
        removed_(removed),
        layers_(model.layers.size()),
        calls_(model.layers.size()) {
    for (std::size_t i = 0; i < calls_.size(); ++i) calls_[i].resize(model.layers[i].calls.size());
  }

  std::vector<std::uint32_t> Find() {
    for (const TensorRef& output : model_.outputs) {
      Walk(Rewired(model_, removed_, output));
    }
    SetDepths();
    for (const TensorRef& input : model_.inputs) {
      Layer& layer = layers_[input.layer];
      if (!layer.depth) layer = {-1, 0};
    }
    std::vector<std::uint32_t> order;
    for (std::uint32_t i = 0; i < layers_.size(); ++i) {
      if (!removed_[i]) order.push_back(i);
    }
    std::stable_sort(order.begin(), order.end(), [this](std::uint32_t a, std::uint32_t b) {
      const std::int64_t depth_a = layers_[a].depth.value_or(-1);
      const std::int64_t depth_b = layers_[b].depth.value_or(-1);
      return depth_a != depth_b ? depth_a > depth_b : layers_[a].met < layers_[b].met;
    });
    return order;
  }

 private:
  struct Layer {
    std::int64_t met = std::numeric_limits<std::int64_t>::max();  // place in the walk
    std::optional<std::int64_t> depth = {};
  };
  struct Call {
    bool entered = false;
    std::int64_t depth = 0;
  };
  struct Step {
    TensorRef call;
    std::size_t next_input = 0;
  };

  const std::vector<TensorRef>& InputsOf(const TensorRef& ref) const {
    return model_.layers[ref.layer].calls[ref.call].inputs;
  }

  void Enter(const TensorRef& ref, std::vector<Step>& path) {
    Call& call = calls_[ref.layer][ref.call];
    if (call.entered) return;
    call.entered = true;
    Layer& layer = layers_[ref.layer];
    if (layer.met == std::numeric_limits<std::int64_t>::max()) layer.met = met_++;
    path.push_back({ref});
  }

  // Depth first; `finished_` gets each call after those that it reads from. The record has no
  // cycles.
  void Walk(const TensorRef& output) {
    std::vector<Step> path;
    Enter(output, path);
    while (!path.empty()) {
      Step& step = path.back();
      const std::vector<TensorRef>& inputs = InputsOf(step.call);
      if (step.next_input < inputs.size()) {
        Enter(Rewired(model_, removed_, inputs[step.next_input++]), path);
        continue;
      }
      finished_.push_back(step.call);
      path.pop_back();
    }
  }

  void SetDepths() {
    for (auto ref = finished_.rbegin(); ref != finished_.rend(); ++ref) {
      Call& call = calls_[ref->layer][ref->call];
      Layer& layer = layers_[ref->layer];
      call.depth = std::max(call.depth, layer.depth.value_or(0));
      layer.depth = call.depth;
      for (const TensorRef& input : InputsOf(*ref)) {
        const TensorRef source = Rewired(model_, removed_, input);
        Call& producer = calls_[source.layer][source.call];
        producer.depth = std::max(producer.depth, call.depth + 1);
      }
    }
  }

  const ModelRecord& model_;
  const RemovedLayers& removed_;
  std::vector<Layer> layers_;
  std::vector<std::vector<Call>> calls_;
  std::vector<TensorRef> finished_;
  std::int64_t met_ = 0;
};

}  // namespace

TensorRef Rewired(const ModelRecord& model, const RemovedLayers& removed, TensorRef ref) {
  while (removed[ref.layer]) ref = model.layers[ref.layer].calls[ref.call].inputs[0];
  return ref;
}

std::vector<std::uint32_t> KerasLayerOrder(const ModelRecord& model, const RemovedLayers& removed) {
  if (!model.sequential) return OrderFinder(model, removed).Find();
  std::vector<std::uint32_t> order;
  for (std::uint32_t i = 0; i < model.layers.size(); ++i) {
    if (!removed[i]) order.push_back(i);
  }
  return order;
}

}  // namespace ckpt::formats::keras
