#include "diff/folded_comparison.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "ckpt/elements.h"
#include "diff/kernel_channels.h"
#include "fold/kernel_pair.h"

namespace ckpt {
namespace {

// One of the two files, with the tensors that the other has no partner for.
struct Side {
  const Checkpoint& checkpoint;
  const Analysis& analysis;
  std::vector<TensorId> unmatched = {};

  const TensorInfo& Info(TensorId id) const { return checkpoint.manifest().tensors[id.index]; }
};

// A layer of one file alone, as a function.
struct OpenLayer {
  std::size_t index;  // into the lists of layers
  bool in_a;
  bool epsilon_assumed;
  BatchNormValues values;
  ScaleShift function;
};

// The bias of the layer that a kernel belongs to, by the graph or else by names.
std::optional<TensorId> BiasOf(const Manifest& manifest, TensorId kernel) {
  if (!manifest.graph) return BiasBeside(manifest, kernel);
  for (const Layer& layer : manifest.graph->layers) {
    const auto found = layer.tensors.find("kernel");
    if (found == layer.tensors.end() || found->second != kernel) continue;
    const auto bias = layer.tensors.find("bias");
    return bias == layer.tensors.end() ? std::optional<TensorId>{} : bias->second;
  }
  return BiasBeside(manifest, kernel);
}

double FarthestOff(const std::vector<double>& x, const std::vector<double>& y) {
  double farthest = 0;
  for (std::size_t c = 0; c < x.size(); ++c) farthest = std::max(farthest, std::fabs(x[c] - y[c]));
  return farthest;
}

class Comparer {
 public:
  Comparer(Side a, Side b, Tolerance tolerance, std::vector<BatchNormDiff>& diffs)
      : a_(std::move(a)), b_(std::move(b)), tolerance_(tolerance), diffs_(diffs) {}

  Status Run(const std::vector<Match>& matches, const std::vector<LayerMatch>& layers) {
    for (std::size_t i = 0; i < layers.size(); ++i) CKPT_RETURN_IF_ERROR(TakeUp(layers[i], i));
    if (open_.empty() && unknown_epsilon_.empty()) return {};
    for (const Match& match : matches) {
      if (match.a && !match.b) a_.unmatched.push_back(*match.a);
      if (match.b && !match.a) b_.unmatched.push_back(*match.b);
    }
    for (const Match& match : matches) {
      if (match.a && match.b) CKPT_RETURN_IF_ERROR(CompareKernel(match));
    }
    if (kernels_ == 0) return {};
    for (const OpenLayer& layer : open_) {
      if (!layer.epsilon_assumed) continue;
      diffs_[layer.index].note +=
          "; nor folded into a kernel with the default epsilon of its framework, which is assumed: "
          "--epsilon gives another";
    }
    for (const std::size_t index : unknown_epsilon_) {
      diffs_[index].note +=
          "; epsilon is recorded nowhere: with --epsilon the layer is sought in folded kernels";
    }
    return {};
  }

 private:
  const Side& SideOf(bool in_a) const { return in_a ? a_ : b_; }

  Status TakeUp(const LayerMatch& match, std::size_t index) {
    if ((match.a == nullptr) == (match.b == nullptr)) return {};
    const bool in_a = match.a != nullptr;
    const BatchNorm& layer = in_a ? *match.a : *match.b;
    if (!layer.moving_mean || !layer.moving_variance || !layer.channels) return {};
    if (!layer.epsilon) {
      unknown_epsilon_.push_back(index);
      return {};
    }
    const Checkpoint& checkpoint = SideOf(in_a).checkpoint;
    for (const TensorId id : TensorsOf(layer)) {
      if (!SideOf(in_a).Info(id).data_present) return {};
    }
    CKPT_ASSIGN_OR_RETURN(BatchNormValues values, ReadValues(checkpoint, layer));
    for (const double variance : values.variance) {
      if (!(variance + values.epsilon > 0)) return {};
    }
    ScaleShift function = EffectiveScaleShift(values);
    const bool assumed = layer.epsilon->evidence.source == EvidenceSource::kDefault;
    open_.push_back({index, in_a, assumed, std::move(values), std::move(function)});
    return {};
  }

  Status CompareKernel(const Match& match) {
    const TensorInfo& a = a_.Info(*match.a);
    const TensorInfo& b = b_.Info(*match.b);
    const bool kernels = a.shape.rank() >= 2 && IsFloat(a.dtype) && IsFloat(b.dtype) &&
                         a.data_present && b.data_present &&
                         (a.shape == b.shape || match.order_of_b);
    if (!kernels) return {};
    ++kernels_;
    for (const ChannelView& view : OutViews(a.shape, a_.analysis.framework)) {
      const bool fits = std::any_of(open_.begin(), open_.end(), [&](const OpenLayer& layer) {
        return layer.function.scale.size() == view.channels_per_group;
      });
      if (!fits) continue;
      CKPT_ASSIGN_OR_RETURN(
          const ChannelFactors factors,
          FactorsBetween(a_.checkpoint, *match.a, b_.checkpoint, *match.b, match.order_of_b, view));
      const double unit = std::max(UnitRoundoff(a.dtype), UnitRoundoff(b.dtype));
      if (factors.off > 16 * unit) continue;
      CKPT_ASSIGN_OR_RETURN(const bool found, FindLayer(match, factors, unit));
      if (found) return {};
    }
    return {};
  }

  // The layer of one file whose scale took the kernel of that file to the other's.
  Result<bool> FindLayer(const Match& match, const ChannelFactors& factors, double unit) {
    for (std::size_t i = 0; i < open_.size(); ++i) {
      const OpenLayer& layer = open_[i];
      const std::vector<double>& scale = layer.function.scale;
      const std::vector<double>& factor = layer.in_a ? factors.a_to_b : factors.b_to_a;
      if (scale.size() != factor.size()) continue;
      bool same = true, all_one = true;
      for (std::size_t c = 0; c < scale.size(); ++c) {
        const double allowed = 16 * unit + tolerance_.rtol;
        const bool dead = factor[c] == 0;  // a kernel of zeros says nothing of its factor
        same = same && (dead || std::fabs(scale[c] - factor[c]) <=
                                    allowed * std::fabs(scale[c]) + tolerance_.atol);
        all_one = all_one && factor[c] == 1;
      }
      if (!same || all_one) continue;
      const TensorId unfolded = layer.in_a ? *match.a : *match.b;
      const TensorId folded = layer.in_a ? *match.b : *match.a;
      CKPT_RETURN_IF_ERROR(Report(layer, unfolded, folded, factor, unit));
      open_.erase(open_.begin() + static_cast<std::ptrdiff_t>(i));
      return true;
    }
    return false;
  }

  Status Report(const OpenLayer& layer, TensorId unfolded, TensorId folded,
                const std::vector<double>& factor, double unit) {
    const Side& from = SideOf(layer.in_a);
    const Side& into = SideOf(!layer.in_a);
    const std::size_t channels = factor.size();
    std::vector<double> expected = layer.function.shift, size(channels, 0);
    if (const auto bias = BiasOf(from.checkpoint.manifest(), unfolded)) {
      CKPT_ASSIGN_OR_RETURN(const auto values, ReadDoubles(from.checkpoint, *bias, channels));
      for (std::size_t c = 0; c < std::min(channels, values.size()); ++c) {
        expected[c] += values[c] * layer.function.scale[c];
        size[c] += std::fabs(values[c] * layer.function.scale[c]);
      }
    }
    for (std::size_t c = 0; c < channels; ++c) {
      size[c] += std::fabs(layer.values.beta[c]) +
                 std::fabs(layer.values.mean[c] * layer.function.scale[c]);
    }
    CKPT_ASSIGN_OR_RETURN(const auto bias, FindBias(into, folded, expected, size, unit));
    BatchNormDiff& diff = diffs_[layer.index];
    std::vector<double> compared = factor;
    for (std::size_t c = 0; c < channels; ++c) {
      if (factor[c] == 0) compared[c] = layer.function.scale[c];
    }
    diff.max_scale_diff = FarthestOff(compared, layer.function.scale);
    const std::string side = layer.in_a ? "B" : "A";
    const std::string kernel = '"' + into.Info(folded).name + '"';
    if (!bias) {
      diff.max_shift_diff = FarthestOff(std::vector<double>(channels, 0), expected);
      diff.equal_as_function = diff.max_shift_diff == 0;
      diff.note = "its scale was folded into " + kernel + " of " + side +
                  ", which has no bias that holds its shift";
      return {};
    }
    diff.max_shift_diff = bias->off;
    diff.equal_as_function = bias->same;
    diff.note = "folded into " + kernel + " and \"" + into.Info(bias->id).name + "\" of " + side;
    return {};
  }

  struct Bias {
    TensorId id;
    double off;
    bool same;
  };
  // The bias beside the kernel, else the vector without a partner that holds what is expected.
  Result<std::optional<Bias>> FindBias(const Side& side, TensorId kernel,
                                       const std::vector<double>& expected,
                                       const std::vector<double>& size, double unit) const {
    const auto beside = BiasOf(side.checkpoint.manifest(), kernel);
    std::vector<TensorId> candidates = side.unmatched;
    if (beside) candidates = {*beside};
    std::optional<Bias> best;
    for (const TensorId id : candidates) {
      const TensorInfo& info = side.Info(id);
      const bool fits = IsFloat(info.dtype) && info.data_present && info.shape.rank() <= 2 &&
                        info.shape.element_count() == expected.size();
      if (!fits) continue;
      CKPT_ASSIGN_OR_RETURN(const auto values, ReadDoubles(side.checkpoint, id, expected.size()));
      Bias bias{id, FarthestOff(values, expected), true};
      for (std::size_t c = 0; c < values.size(); ++c) {
        const double allowed = std::max(16 * unit * size[c],
                                        tolerance_.atol + tolerance_.rtol * std::fabs(expected[c]));
        bias.same = bias.same && std::fabs(values[c] - expected[c]) <= allowed;
      }
      const bool better =
          !best || (bias.same && !best->same) || (bias.same == best->same && bias.off < best->off);
      if ((beside || bias.same) && better) best = bias;
    }
    return best;
  }

  Side a_, b_;
  const Tolerance tolerance_;
  std::vector<BatchNormDiff>& diffs_;
  std::vector<OpenLayer> open_;
  std::vector<std::size_t> unknown_epsilon_;  // layers that could be compared with one
  std::size_t kernels_ = 0;                   // that both files have
};

}  // namespace

Status CompareFolded(const Checkpoint& a, const Analysis& analysis_a, const Checkpoint& b,
                     const Analysis& analysis_b, const std::vector<Match>& matches,
                     const std::vector<LayerMatch>& layers, Tolerance tolerance,
                     std::vector<BatchNormDiff>& diffs) {
  return Comparer({a, analysis_a}, {b, analysis_b}, tolerance, diffs).Run(matches, layers);
}

}  // namespace ckpt
