#include "conventions/kernel_facts.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <set>

#include "ckpt/layer_computation.h"
#include "conventions/flattened_channels.h"
#include "fold/channel_view.h"
#include "fold/kernel_layout.h"
#include "fold/linear_layer.h"
#include "fold/reason.h"
#include "roles/scope_words.h"

namespace ckpt {
namespace {

class Settler {
 public:
  Settler(const Manifest& manifest, const Analysis& analysis, Framework source, TensorId id,
          const TensorHint& hint)
      : manifest_(manifest),
        analysis_(analysis),
        first_(IsChannelsFirst(source)),
        source_(Name(source)),
        info_(manifest.tensors[id.index]),
        id_(id),
        hint_(hint) {
    lower_ = info_.name;
    std::transform(lower_.begin(), lower_.end(), lower_.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  }

  Result<KernelFacts> Settle() {
    if (hint_.layout) return ByHint();
    if (manifest_.graph) {
      for (LayerId layer = 0; layer < manifest_.graph->layers.size(); ++layer) {
        for (const auto& [name, tensor] : manifest_.graph->layers[layer].tensors) {
          if (tensor == id_) return ByGraph(layer, name);
        }
      }
    }
    const std::string leaf = SplitName(info_.name).leaf;
    if (leaf.starts_with("recurrent_") || IsRecurrent()) {
      return Refuse("belongs to a recurrent layer, whose gates frameworks order differently");
    }
    if (Says("embed")) {
      KernelFacts facts{.embedding = true,
                        .evidence = {EvidenceSource::kNaming, "the name says embedding"}};
      return facts;
    }
    return info_.shape.rank() == 2 ? Dense() : first_ ? ChannelsFirst() : ChannelsLast();
  }

 private:
  std::int64_t Dim(std::size_t axis) const { return info_.shape[axis]; }
  std::size_t rank() const { return info_.shape.rank(); }
  bool Says(std::string_view word) const { return lower_.find(word) != std::string::npos; }
  bool SaysDepthwise() const {
    const auto components = Components(lower_);
    const bool token = std::any_of(components.begin(), components.end(), [](std::string_view c) {
      return c == "dw" || c == "dwconv" || c == "dconv" || c.starts_with("dw_") ||
             c.ends_with("_dw") || c.ends_with("_dconv") || c.ends_with("_dwconv") ||
             c.starts_with("conv_dw");
    });
    return Says("depthwise") || token;
  }
  bool IsRecurrent() const {
    if (Says("weight_ih_") || Says("weight_hh_")) return true;
    const NameParts parts = SplitName(info_.name);
    return FindTensor(manifest_, parts.parent + parts.separator + "recurrent_kernel").has_value();
  }

  std::optional<std::int64_t> BiasSize() const {
    const auto bias = BiasBeside(manifest_, id_);
    if (!bias) return std::nullopt;
    return static_cast<std::int64_t>(manifest_.tensors[bias->index].shape.element_count());
  }

  KernelFacts Convention(KernelLayout layout) const {
    return {.layout = layout,
            .evidence = {EvidenceSource::kNaming, "the layout of " + source_ + "'s kernels"}};
  }
  KernelFacts ByName(KernelLayout layout, bool depthwise) const {
    KernelFacts facts{.layout = layout, .depthwise = depthwise};
    facts.evidence = {EvidenceSource::kNaming,
                      depthwise ? "the name says depthwise" : "the name says transposed"};
    return facts;
  }
  KernelFacts ByBias(KernelLayout layout, bool depthwise) const {
    KernelFacts facts{.layout = layout, .depthwise = depthwise};
    facts.evidence = {EvidenceSource::kValues, "the size of the bias beside it"};
    return facts;
  }

  Result<KernelFacts> ByHint() const {
    KernelFacts facts{.layout = *hint_.layout};
    facts.depthwise = facts.layout == KernelLayout::kSpatialInMultiplier || hint_.multiplier;
    facts.multiplier = hint_.multiplier.value_or(1);
    facts.flattened_channels = hint_.flattened_channels;
    facts.evidence = {EvidenceSource::kUser, "the layout that was given"};
    return facts;
  }

  Result<KernelFacts> ByGraph(LayerId id, const std::string& name) const {
    const Layer& layer = manifest_.graph->layers[id];
    KernelFacts facts{.layout = layer.layout};
    facts.evidence = {EvidenceSource::kFrameworkRecord,
                      manifest_.graph->source + ": " + layer.op_type + " " + Quoted(layer.name)};
    if (IsDense(layer)) {
      CKPT_ASSIGN_OR_RETURN(facts.flattened_channels, FlattenedChannels(manifest_, id));
      return facts;
    }
    if (IsSeparable(layer)) {
      facts.depthwise = name == "depthwise_kernel";
      if (facts.depthwise) facts.layout = KernelLayout::kSpatialInMultiplier;
      return facts;
    }
    if (IsConvolution(layer)) {
      const bool in_groups =
          facts.layout == KernelLayout::kOutInSpatial && layer.groups > 1 && Dim(1) == 1;
      facts.depthwise = in_groups || IsDepthwise(layer);
      if (in_groups) facts.multiplier = Dim(0) / layer.groups;
      return facts;
    }
    if (IsTransposed(layer)) return facts;
    facts.embedding = layer.op_type == "Embedding";
    if (facts.embedding) return facts;
    return Refuse("belongs to a " + layer.op_type +
                  ", whose weights have no known layout in another framework");
  }

  // Output counts of everything in the file that could feed a dense layer.
  std::set<std::int64_t> OutputCounts() const {
    std::set<std::int64_t> counts;
    // Of transposed and depthwise convolutions, too.
    std::set<std::int64_t> possible;
    for (std::uint32_t i = 0; i < manifest_.tensors.size(); ++i) {
      const Shape& shape = manifest_.tensors[i].shape;
      if (analysis_.roles[i].role != Role::kKernel || shape.rank() < 2) continue;
      counts.insert(first_ ? shape[0] : shape[shape.rank() - 1]);
      if (shape.rank() == 2) continue;
      const std::int64_t one = first_ ? shape[0] : shape[shape.rank() - 1];
      const std::int64_t other = first_ ? shape[1] : shape[shape.rank() - 2];
      possible.insert({one, other, one * other});
    }
    // A batch norm of a count that no convolution can have stands behind a flatten itself.
    for (const BatchNorm& layer : analysis_.batch_norms) {
      const auto channels = static_cast<std::int64_t>(layer.channels.value_or(0));
      if (possible.contains(channels)) counts.insert(channels);
    }
    return counts;
  }

  bool HasConvolutions() const {
    for (std::uint32_t i = 0; i < manifest_.tensors.size(); ++i) {
      if (analysis_.roles[i].role == Role::kKernel && manifest_.tensors[i].shape.rank() > 2) {
        return true;
      }
    }
    return false;
  }

  // The kernel that the model defines before this one; absent where the file keeps no such order.
  std::optional<TensorId> KernelBefore() const {
    std::optional<TensorId> before;
    for (const TensorId id : manifest_.stored_order) {
      if (&manifest_.tensors[id.index] == &info_) return before;
      if (analysis_.roles[id.index].role == Role::kKernel &&
          manifest_.tensors[id.index].shape.rank() >= 2) {
        before = id;
      }
    }
    return std::nullopt;
  }

  // That as many outputs occur somewhere says little where the convolution defined before the layer
  // has a part of them: so many channels, flattened.
  Status CheckLayerBefore(std::int64_t inputs) const {
    const auto before = KernelBefore();
    if (!before) return {};
    const TensorInfo& kernel = manifest_.tensors[before->index];
    const std::int64_t outputs = first_ ? kernel.shape[0] : kernel.shape[kernel.shape.rank() - 1];
    if (kernel.shape.rank() == 2 || outputs == inputs || outputs == 0 || inputs % outputs != 0) {
      return {};
    }
    return Refuse(
        "has " + std::to_string(inputs) + " inputs, " + std::to_string(inputs / outputs) +
            " times the " + std::to_string(outputs) + " outputs of " + Quoted(kernel.name) +
            ", which is defined before it: a flatten, it seems, behind which the inputs have "
            "another order in the other framework",
        Remedy::kGiveFlattened);
  }

  Result<KernelFacts> Dense() const {
    KernelFacts facts =
        Convention(first_ ? KernelLayout::kOutInSpatial : KernelLayout::kSpatialInOut);
    if (!HasConvolutions()) return facts;
    const std::int64_t inputs = first_ ? Dim(1) : Dim(0);
    if (!OutputCounts().contains(inputs)) {
      return Refuse(
          "has " + std::to_string(inputs) +
              " inputs, as many as no other layer has outputs: behind a flatten its inputs "
              "have another order in the other framework, and no graph says how many "
              "channels are flattened",
          Remedy::kGiveFlattened);
    }
    CKPT_RETURN_IF_ERROR(CheckLayerBefore(inputs));
    facts.assumed = "is taken not to stand behind a flatten, as nothing in the file shows one";
    return facts;
  }

  // [K..., I, O], [K..., O, I] or [K..., I, M].
  Result<KernelFacts> ChannelsLast() const {
    const std::int64_t before = Dim(rank() - 2), last = Dim(rank() - 1);
    const auto bias = BiasSize();
    if (SplitName(info_.name).leaf.starts_with("depthwise_")) {
      return ByName(KernelLayout::kSpatialInMultiplier, true);
    }
    if (SaysTransposed(info_.name)) return ByName(KernelLayout::kSpatialOutIn, false);
    if (SaysDepthwise() && (!bias || *bias == before * last)) {
      return ByName(KernelLayout::kSpatialInMultiplier, true);
    }
    if (bias && *bias != last) {
      if (*bias == before * last) return ByBias(KernelLayout::kSpatialInMultiplier, true);
      if (*bias == before) return ByBias(KernelLayout::kSpatialOutIn, false);
    }
    if (!bias && last == 1 && before > 1) {
      return Refuse("may be a convolution with one output or a depthwise convolution: shape " +
                        ToString(info_.shape) + ", and neither name, graph nor bias says which",
                    Remedy::kGiveLayout);
    }
    return Convention(KernelLayout::kSpatialInOut);
  }

  // [O, I, K...], [I, O, K...] or [I * M, 1, K...].
  Result<KernelFacts> ChannelsFirst() const {
    const std::int64_t out = Dim(0), in = Dim(1);
    const auto bias = BiasSize();
    if (bias && *bias != out && *bias == in) return ByBias(KernelLayout::kInOutSpatial, false);
    if (SaysTransposed(info_.name)) return ByName(KernelLayout::kInOutSpatial, false);
    if (in != 1 || out == 1) return Convention(KernelLayout::kOutInSpatial);
    if (SaysDepthwise()) {
      KernelFacts facts = ByName(KernelLayout::kOutInSpatial, true);
      facts.multiplier = hint_.multiplier.value_or(1);
      if (!hint_.multiplier) facts.assumed = "is taken to have the depth multiplier 1";
      return facts;
    }
    return Refuse("may be a depthwise convolution or one of a single input channel: shape " +
                      ToString(info_.shape) + ", and neither name nor graph says which",
                  Remedy::kGiveMultiplier);
  }

  const Manifest& manifest_;
  const Analysis& analysis_;
  const bool first_;  // channels first
  const std::string source_;
  const TensorInfo& info_;
  const TensorId id_;
  const TensorHint& hint_;
  std::string lower_;
};

}  // namespace

Result<KernelFacts> FactsOfKernel(const Manifest& manifest, const Analysis& analysis,
                                  Framework source, TensorId kernel, const TensorHint& hint) {
  return Settler(manifest, analysis, source, kernel, hint).Settle();
}

}  // namespace ckpt
