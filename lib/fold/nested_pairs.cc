#include "fold/nested_pairs.h"

#include "fold/channel_view.h"
#include "fold/linear_layer.h"
#include "fold/reason.h"

namespace ckpt {
namespace {

struct Nested {
  std::size_t batch_norm;
  TensorId kernel;
};

std::size_t OutChannels(const TensorInfo& kernel, KernelLayout layout) {
  const auto views = ViewsOf(kernel.shape, layout, 1);
  return views ? views->out_channels : 0;
}

// The layer X of a batch norm "X/BatchNorm"; absent for any other scope.
std::optional<std::string> LayerAround(const std::string& scope) {
  const NameParts parts = SplitName(scope);
  if (parts.separator != "/" || parts.leaf != "BatchNorm") return std::nullopt;
  return parts.parent;
}

// The kernel whose output the normalizer of layer X reads: of a separable convolution the pointwise
// one, where it has one.
std::optional<TensorId> KernelOf(const Manifest& manifest, const std::string& layer) {
  for (const char* leaf : {"/weights", "/pointwise_weights", "/depthwise_weights"}) {
    if (const auto kernel = FindTensor(manifest, layer + leaf)) return kernel;
  }
  return std::nullopt;
}

// In [K..., a, b] with b != channels == a: the kernel of conv2d_transpose, which is [K..., O, I].
bool FitsOnlyTransposed(const TensorInfo& kernel, std::size_t channels) {
  return kernel.shape.rank() > 2 && !SplitName(kernel.name).leaf.starts_with("depthwise_") &&
         OutChannels(kernel, KernelLayout::kSpatialInOut) != channels &&
         OutChannels(kernel, KernelLayout::kSpatialOutIn) == channels;
}
bool FitsBoth(const TensorInfo& kernel, std::size_t channels) {
  return kernel.shape.rank() > 2 && !SplitName(kernel.name).leaf.starts_with("depthwise_") &&
         OutChannels(kernel, KernelLayout::kSpatialInOut) == channels &&
         OutChannels(kernel, KernelLayout::kSpatialOutIn) == channels;
}

}  // namespace

PairingResult PairByNesting(const Manifest& manifest, const Analysis& analysis) {
  PairingResult result;
  std::vector<Nested> nested;
  std::string transposed;
  for (std::size_t i = 0; i < analysis.batch_norms.size(); ++i) {
    const BatchNorm& batch_norm = analysis.batch_norms[i];
    const auto layer = LayerAround(batch_norm.scope);
    if (!layer) continue;
    const auto kernel = KernelOf(manifest, *layer);
    if (!kernel) continue;
    if (const auto biases = FindTensor(manifest, *layer + "/biases")) {
      result.refused[i] = Quoted(*layer + "/biases") +
                          " stands beside it, which tf_slim does not create where a batch norm "
                          "follows: the nesting proves nothing here";
      continue;
    }
    nested.push_back({i, *kernel});
    const TensorInfo& info = manifest.tensors[kernel->index];
    if (FitsOnlyTransposed(info, batch_norm.channels.value_or(0))) transposed = info.name;
  }
  for (const auto& [i, kernel] : nested) {
    const TensorInfo& info = manifest.tensors[kernel.index];
    const std::size_t channels = analysis.batch_norms[i].channels.value_or(0);
    const auto layout = ConventionalLayout(manifest, Framework::kTensorFlow, kernel);
    if (!layout) {
      result.refused[i] = layout.error().message;
    } else if (FitsOnlyTransposed(info, channels)) {
      result.refused[i] = Quoted(info.name) + " of shape " + ToString(info.shape) + " has its " +
                          std::to_string(channels) +
                          " channels where a transposed convolution does; --pairs with layout "
                          "HWOI says that it is one";
    } else if (FitsBoth(info, channels) && !transposed.empty()) {
      result.refused[i] = "both channel axes of " + Quoted(info.name) + " fit, and " +
                          Quoted(transposed) +
                          " shows that the file has transposed convolutions; --pairs can give the "
                          "layout";
    } else {
      KernelPair pair{.kernel = kernel, .layout = *layout};
      pair.evidence.push_back(
          {EvidenceSource::kNaming, "tf_slim creates " + Quoted(info.name) + " and " +
                                        Quoted(analysis.batch_norms[i].scope) +
                                        " inside it as one layer, kernel in layout " +
                                        std::string(Name(*layout))});
      result.pairs.emplace(i, std::move(pair));
    }
  }
  return result;
}

}  // namespace ckpt
