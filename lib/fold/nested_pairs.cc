#include "fold/nested_pairs.h"

#include <optional>
#include <vector>

#include "fold/kernel_layout.h"
#include "fold/linear_layer.h"
#include "fold/name_families.h"
#include "fold/reason.h"

namespace ckpt {
namespace {

struct Nested {
  std::size_t batch_norm;
  TensorId kernel;
};

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

// The nested pairs of a file without a reason against one of them by itself.
std::vector<Nested> FindNested(const NamedLayers& layers, PairingResult& result) {
  const auto& batch_norms = layers.analysis().batch_norms;
  std::vector<Nested> nested;
  for (std::size_t i = 0; i < batch_norms.size(); ++i) {
    const auto layer = LayerAround(batch_norms[i].scope);
    if (!layer) continue;
    const auto kernel = KernelOf(layers.manifest(), *layer);
    if (!kernel) continue;
    if (FindTensor(layers.manifest(), *layer + "/biases")) {
      result.refused[i] = Quoted(*layer + "/biases") +
                          " stands beside it, which tf_slim does not create where a batch norm "
                          "follows: the nesting proves nothing here";
      continue;
    }
    nested.push_back({i, *kernel});
  }
  return nested;
}

}  // namespace

PairingResult PairByNesting(const NamedLayers& layers) {
  const auto& batch_norms = layers.analysis().batch_norms;
  PairingResult result;
  const std::vector<Nested> nested = FindNested(layers, result);
  KernelLayouts layouts(layers, Framework::kTensorFlow);
  for (const auto& [i, kernel] : nested) {
    if (layouts.FitsOnlyTransposed(kernel, batch_norms[i].channels.value_or(0))) {
      layouts.NoteTransposed(kernel);
    }
  }
  FamilyShapes shapes(false);  // tf_slim has no grouped convolutions
  for (const auto& [i, kernel] : nested) {
    const TensorInfo& info = layers.manifest().tensors[kernel.index];
    const std::uint64_t channels = batch_norms[i].channels.value_or(0);
    auto found = layouts.Of(kernel, channels);
    if (!found) {
      result.refused[i] = KeepingReason(found.error());
      continue;
    }
    shapes.Add(info.shape, found->layout, channels);
    KernelPair pair{.kernel = kernel, .layout = found->layout};
    pair.evidence.push_back(
        {EvidenceSource::kNaming,
         "tf_slim creates " + Quoted(info.name) + " and " + Quoted(batch_norms[i].scope) +
             " inside it as one layer, kernel in layout " + std::string(Name(found->layout))});
    result.pairs.emplace(i, std::move(pair));
  }
  if (!shapes.MayPrecede()) return result;
  for (const auto& [i, pair] : result.pairs) {
    result.refused[i] = {"by the widths it may as well stand before " +
                             Quoted(layers.manifest().tensors[pair.kernel.index].name) +
                             ": no nested batch norm of the file has a kernel of other in channels",
                         Remedy::kGivePair};
  }
  result.pairs.clear();
  return result;
}

}  // namespace ckpt
