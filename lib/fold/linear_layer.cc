#include "fold/linear_layer.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "ckpt/layer_computation.h"
#include "fold/reason.h"

namespace ckpt {
namespace {

// The tensor's info as a template for its bias: same type, same owner, no bytes of its own.
TensorInfo NewBias(const Manifest& manifest, TensorId kernel, std::uint64_t channels) {
  const TensorInfo& info = manifest.tensors[kernel.index];
  TensorInfo bias;
  bias.name = bias.stored_as = BiasNameFor(info.name);
  bias.dtype = info.dtype;
  bias.shape = *Shape::FromDims({static_cast<std::int64_t>(channels)});
  bias.byte_size = channels * BitSize(info.dtype) / 8;
  bias.owner = info.owner;
  if (!info.local_name.empty()) bias.local_name = "bias";
  bias.trainable = info.trainable;
  return bias;
}

// Where names are free to choose: the kernel's own convention if it has one.
std::string FreeBiasName(const Manifest& manifest, const SharedTensors& shared,
                         const std::string& kernel, bool is_shared, LayerId layer) {
  const NameParts parts = SplitName(kernel);
  std::size_t kernels = 0;  // of the scope: only one of them can have "bias"
  bool known = false;
  for (const char* leaf : {"kernel", "weight", "weights"}) {
    known |= parts.leaf == leaf;
    kernels += shared.HasName(parts.parent + parts.separator + leaf);
  }
  const bool conventional = !parts.parent.empty() && !is_shared && known && kernels == 1;
  std::string wanted = conventional ? BiasNameFor(kernel) : kernel + "_bias";
  if (is_shared) wanted += "_" + std::to_string(layer);
  return FreeName(manifest, shared, wanted, layer);
}

Status CheckTensor(const Manifest& manifest, const SharedTensors& shared, TensorId id,
                   bool may_be_shared) {
  const TensorInfo& info = manifest.tensors[id.index];
  if (!IsFloat(info.dtype)) {
    return Refuse(Quoted(info.name) + " holds " + std::string(Name(info.dtype)));
  }
  if (!info.data_present) return Refuse("the data of " + Quoted(info.name) + " is absent");
  if (shared.Contains(id) && !may_be_shared)
    return Refuse(Quoted(info.name) + " is shared with another layer");
  return {};
}

// One value per out channel, on one axis; or, where a graph broadcasts, one for all. There the
// channels of a dense layer are the last axis: [C, 1] has a value per row.
bool IsBias(const Shape& shape, std::uint64_t channels, bool broadcasts, bool dense) {
  if (broadcasts && shape.element_count() == 1 && shape.rank() <= 1) return true;
  if (dense && shape.rank() > 1 &&
      static_cast<std::uint64_t>(shape[shape.rank() - 1]) != channels) {
    return false;
  }
  const auto wide = std::count_if(shape.dims().begin(), shape.dims().end(),
                                  [](std::int64_t dim) { return dim != 1; });
  return shape.rank() >= 1 && wide <= 1 && shape.element_count() == channels;
}

// Darknet calls the beta of a convolution's batch norm the convolution's biases: that name is free
// once the batch norm, which alone reads the layer, is folded into it. Where it is not after all,
// the plan finds two tensors of one name.
bool GoesWithItsBatchNorm(const Manifest& manifest, const Layer& layer, TensorId id) {
  const ModelGraph& graph = *manifest.graph;
  const auto calls = graph.CallsOf(static_cast<LayerId>(&layer - graph.layers.data()));
  if (calls.size() != 1) return false;
  const Value& output = graph.values[graph.nodes[calls.front()].output];
  if (output.is_model_output || output.consumers.size() != 1) return false;
  const Layer& reader = graph.layers[graph.nodes[output.consumers.front()].layer];
  const auto beta = reader.tensors.find("beta");
  return IsBatchNorm(reader) && beta != reader.tensors.end() && beta->second == id;
}

// Checks the tensors of `layer` and fills in what follows from them. `in_graph` may be null.
Result<LinearLayer> Complete(const Manifest& manifest, const SharedTensors& shared,
                             LinearLayer layer, const Layer* in_graph, KernelLayout layout,
                             std::int64_t groups, bool can_gain_bias) {
  const bool rebinds = in_graph != nullptr && in_graph->can_rebind;
  CKPT_RETURN_IF_ERROR(CheckTensor(manifest, shared, layer.kernel, rebinds));
  const TensorInfo& kernel = manifest.tensors[layer.kernel.index];
  const auto own_name = [&](TensorId id) {
    const std::string& name = manifest.tensors[id.index].name;
    return shared.Contains(id) ? FreeName(manifest, shared, name, *layer.layer) : name;
  };
  CKPT_ASSIGN_OR_RETURN(layer.views, ViewsOf(kernel.shape, layout, groups));
  layer.kernel_name = own_name(layer.kernel);
  if (layer.bias) {
    CKPT_RETURN_IF_ERROR(CheckTensor(manifest, shared, *layer.bias, rebinds));
    const TensorInfo& bias = manifest.tensors[layer.bias->index];
    layer.bias_name = own_name(*layer.bias);
    // One tensor may be both.
    if (layer.bias_name == layer.kernel_name) {
      layer.bias_name = FreeName(manifest, shared, kernel.name + "_bias", *layer.layer);
    }
    // One number may be read as one for each channel by an operation in front (Expand).
    const bool dense = rebinds && IsDense(*in_graph);
    const bool broadcasts = dense || (rebinds && in_graph->read_by.contains("bias"));
    if (!IsBias(bias.shape, layer.views.out_channels, broadcasts, dense)) {
      return Refuse(Quoted(bias.name) + " has shape " + ToString(bias.shape) + " where " +
                    Quoted(kernel.name) + " has " + std::to_string(layer.views.out_channels) +
                    " out channels");
    }
  } else if (can_gain_bias) {
    TensorInfo bias = NewBias(manifest, layer.kernel, layer.views.out_channels);
    if (rebinds) {
      bias.name = bias.stored_as =
          FreeBiasName(manifest, shared, kernel.name, shared.Contains(layer.kernel), *layer.layer);
    } else if (const auto taken =
                   shared.HasName(bias.name) ? FindTensor(manifest, bias.name) : std::nullopt;
               taken && (in_graph == nullptr || shared.Contains(*taken) ||
                         !GoesWithItsBatchNorm(manifest, *in_graph, *taken))) {
      return Refuse("its bias would be called " + Quoted(bias.name) +
                    ", and another tensor has that name");
    }
    layer.bias_name = bias.name;
    layer.new_bias = std::move(bias);
  }
  return layer;
}

}  // namespace

std::string FreeName(const Manifest& manifest, const SharedTensors& shared,
                     const std::string& wanted, LayerId layer) {
  const auto taken = [&](const std::string& name) {
    return shared.HasName(name) || manifest.graph->taken_names.contains(name);
  };
  if (!taken(wanted)) return wanted;
  std::string name = wanted + "_" + std::to_string(layer);
  while (taken(name)) name += "_";
  return name;
}

SharedTensors::SharedTensors(const Manifest& manifest) : shared_(manifest.tensors.size(), false) {
  names_.reserve(2 * manifest.tensors.size());
  for (const TensorInfo& info : manifest.tensors) names_.insert({info.name, info.stored_as});
  for (std::size_t i = 0; i < manifest.tensors.size(); ++i) {
    if (const auto& alias_of = manifest.tensors[i].alias_of) {
      shared_[i] = shared_[alias_of->index] = true;
    }
  }
  // safetensors.torch.save_model keeps one of the tensors that share their bytes, and records the
  // names of the others: {"b.weight": "a.weight"}.
  for (const auto& [name, kept] : manifest.metadata) {
    if (!HasName(kept) || HasName(name)) continue;  // looking for what is not there takes long
    const auto id = FindTensor(manifest, kept);
    if (!id || SplitName(name).leaf != SplitName(kept).leaf) continue;
    shared_[id->index] = true;
    absent_names_.insert(id->index);
  }
  if (!manifest.graph) return;
  std::vector<bool> used(manifest.tensors.size(), false);
  for (const Layer& layer : manifest.graph->layers) {
    for (const auto& [name, id] : layer.tensors) {
      if (used[id.index]) shared_[id.index] = true;
      used[id.index] = true;
    }
  }
}

Result<LinearLayer> LinearLayerOfGraph(const Manifest& manifest, const SharedTensors& shared,
                                       LayerId id) {
  const Layer& layer = manifest.graph->layers[id];
  if (!layer.missing_tensors.empty()) {
    return Refuse("the file lacks the " + layer.missing_tensors.front() + " of " +
                  Quoted(layer.name));
  }
  const auto kernel = layer.tensors.find("kernel");
  if (kernel == layer.tensors.end()) return Refuse(Quoted(layer.name) + " has no kernel here");
  LinearLayer linear;
  linear.layer = id;
  linear.kernel = kernel->second;
  if (const auto bias = layer.tensors.find("bias"); bias != layer.tensors.end()) {
    linear.bias = bias->second;
  }
  linear.kernel_factor = layer.kernel_factor;
  linear.bias_factor = layer.bias_factor;
  if (!std::isnormal(linear.kernel_factor) || !std::isnormal(linear.bias_factor)) {
    return Refuse("the factor of its kernel or bias is no number to divide by");
  }
  return Complete(manifest, shared, std::move(linear), &layer, layer.layout, layer.groups,
                  layer.can_gain_bias);
}

Result<LinearLayer> LinearLayerOfNames(const Manifest& manifest, const SharedTensors& shared,
                                       TensorId kernel, std::optional<TensorId> bias,
                                       KernelLayout layout, std::int64_t groups) {
  LinearLayer linear;
  linear.kernel = kernel;
  linear.bias = bias;
  return Complete(manifest, shared, std::move(linear), nullptr, layout, groups, true);
}

NameParts SplitName(std::string_view name) {
  const char separator = name.find('/') != std::string_view::npos ? '/' : '.';
  const std::size_t at = name.rfind(separator);
  if (at == std::string_view::npos)
    return {.parent = {}, .separator = {}, .leaf = std::string(name)};
  return {.parent = std::string(name.substr(0, at)),
          .separator = std::string(1, separator),
          .leaf = std::string(name.substr(at + 1))};
}

std::string BiasNameFor(std::string_view kernel_name) {
  const NameParts parts = SplitName(kernel_name);
  if (parts.leaf == "W") return parts.parent + parts.separator + "b";  // Keras 1, Chainer
  // "Variable_2", "Kernel_0": no layer has the name to itself.
  if (parts.parent.empty() && parts.leaf != "kernel" && !parts.leaf.ends_with("weight") &&
      !parts.leaf.ends_with("weights")) {
    return parts.leaf + "_bias";
  }
  // MXNet's "conv0_weight"; its names have no separator but the underscore.
  constexpr std::string_view kJoined = "_weight";
  if (parts.leaf.ends_with(kJoined)) {
    return parts.parent + parts.separator +
           parts.leaf.substr(0, parts.leaf.size() - kJoined.size()) + "_bias";
  }
  // tf_slim and Darknet say weights and biases; Keras and PyTorch say bias.
  const bool plural = parts.leaf.ends_with("weights");
  return parts.parent + parts.separator + (plural ? "biases" : "bias");
}

}  // namespace ckpt
