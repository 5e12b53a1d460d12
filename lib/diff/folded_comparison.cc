#include "diff/folded_comparison.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "ckpt/elements.h"
#include "diff/kernel_channels.h"
#include "diff/own_fold.h"

namespace ckpt {
namespace {

// One of the two files, with the tensors that the other has no partner for.
struct FoldedSide {
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

double FarthestOff(const std::vector<double>& x, const std::vector<double>& y) {
  double farthest = 0;
  for (std::size_t c = 0; c < x.size(); ++c) farthest = std::max(farthest, std::fabs(x[c] - y[c]));
  return farthest;
}

class Comparer {
 public:
  Comparer(FoldedSide a, FoldedSide b, Tolerance tolerance, std::vector<BatchNormDiff>& diffs)
      : a_(std::move(a)), b_(std::move(b)), tolerance_(tolerance), diffs_(diffs) {}

  Status Run(const std::vector<Match>& matches, const std::vector<LayerMatch>& layers) {
    matches_ = &matches;
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
          "; nor folded into a kernel with the default epsilon of its framework, which is assumed";
      diffs_[layer.index].remedy = Remedy::kGiveEpsilon;
    }
    for (const std::size_t index : unknown_epsilon_) {
      diffs_[index].note +=
          "; epsilon is recorded nowhere, and without it the layer is not sought in folded kernels";
      diffs_[index].remedy = Remedy::kGiveEpsilon;
    }
    return {};
  }

 private:
  const FoldedSide& SideOf(bool in_a) const { return in_a ? a_ : b_; }

  Status TakeUp(const LayerMatch& match, std::size_t index) {
    if ((match.a == nullptr) == (match.b == nullptr) || diffs_[index].compared) return {};
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
    for (const ChannelView& view : ViewsOfKernel(a.shape)) {
      const std::uint64_t channels = ChannelsOf(view, a.shape.element_count());
      const bool fits = std::any_of(open_.begin(), open_.end(), [&](const OpenLayer& layer) {
        return layer.function.scale.size() == channels;
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

  std::vector<ChannelView> ViewsOfKernel(const Shape& shape) const {
    const auto framework = a_.analysis.framework;
    std::vector<ChannelView> views = OutViews(shape, framework);
    if (framework && !IsChannelsFirst(*framework)) return views;
    for (const OpenLayer& layer : open_) {
      const auto grouped = GroupedOutView(shape, layer.function.scale.size());
      if (grouped && std::find(views.begin(), views.end(), *grouped) == views.end()) {
        views.push_back(*grouped);
      }
    }
    return views;
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
    const FoldedSide& from = SideOf(layer.in_a);
    const FoldedSide& into = SideOf(!layer.in_a);
    const std::size_t channels = factor.size();
    CKPT_ASSIGN_OR_RETURN(const auto bias, FindBias(layer, unfolded, folded, unit));
    BatchNormDiff& diff = diffs_[layer.index];
    diff.compared = true;
    std::vector<double> compared = factor;
    for (std::size_t c = 0; c < channels; ++c) {
      if (factor[c] == 0) compared[c] = layer.function.scale[c];
    }
    diff.max_scale_diff = FarthestOff(compared, layer.function.scale);
    const std::string side = layer.in_a ? "B" : "A";
    const std::string kernel = '"' + into.Info(folded).name + '"';
    if (!bias) {
      CKPT_ASSIGN_OR_RETURN(const Expected expected,
                            ExpectedBias(layer, BiasOf(from.checkpoint.manifest(), unfolded)));
      diff.max_shift_diff = FarthestOff(std::vector<double>(channels, 0), expected.values);
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

  // What the bias of the folded layer has to be, and the size of the numbers that it is made of.
  struct Expected {
    std::vector<double> values, size;
  };
  // `bias`: that of the layer before the fold.
  Result<Expected> ExpectedBias(const OpenLayer& layer, std::optional<TensorId> bias) const {
    const ScaleShift& function = layer.function;
    const std::size_t channels = function.scale.size();
    Expected expected{function.shift, std::vector<double>(channels, 0)};
    if (bias && SideOf(layer.in_a).Info(*bias).shape.element_count() == channels) {
      CKPT_ASSIGN_OR_RETURN(const auto values,
                            ReadDoubles(SideOf(layer.in_a).checkpoint, *bias, channels));
      for (std::size_t c = 0; c < std::min(channels, values.size()); ++c) {
        expected.values[c] += values[c] * function.scale[c];
        expected.size[c] += std::fabs(values[c] * function.scale[c]);
      }
    }
    for (std::size_t c = 0; c < channels; ++c) {
      expected.size[c] +=
          std::fabs(layer.values.beta[c]) + std::fabs(layer.values.mean[c] * function.scale[c]);
    }
    return expected;
  }

  struct Bias {
    TensorId id;
    double off;
    bool same;
  };
  // A bias before the fold, if there was one, and the one after it.
  struct BiasPair {
    std::optional<TensorId> before;
    TensorId after;
  };

  static bool MayBeBias(const FoldedSide& side, TensorId id, std::size_t channels) {
    const TensorInfo& info = side.Info(id);
    const Role role = side.analysis.roles[id.index].role;
    return (role == Role::kBias || role == Role::kOther || role == Role::kBeta) &&
           IsFloat(info.dtype) && info.data_present && info.shape.rank() <= 2 &&
           info.shape.element_count() == channels;
  }

  // By the names of the kernels; where these say nothing ("Variable_2"), every pair of vectors that
  // may be it.
  std::vector<BiasPair> BiasPairs(const OpenLayer& layer, TensorId unfolded,
                                  TensorId folded) const {
    const FoldedSide& from = SideOf(layer.in_a);
    const FoldedSide& into = SideOf(!layer.in_a);
    const std::size_t channels = layer.function.scale.size();
    const auto before = BiasOf(from.checkpoint.manifest(), unfolded);
    const auto after = BiasOf(into.checkpoint.manifest(), folded);
    std::vector<BiasPair> pairs;
    const auto add = [&](std::optional<TensorId> x, TensorId y) {
      const bool named = (!before || !x || *before == *x) && (!after || *after == y);
      if (named && MayBeBias(into, y, channels) && (!x || MayBeBias(from, *x, channels)))
        pairs.push_back({x ? x : before, y});
    };
    if (after) add(before, *after);
    for (const TensorId id : into.unmatched) add(before, id);
    for (const Match& match : *matches_) {
      if (!match.a || !match.b) continue;
      add(layer.in_a ? match.a : match.b, layer.in_a ? *match.b : *match.a);
    }
    return pairs;
  }

  // The bias that holds what is expected; the one beside the kernel where none does.
  Result<std::optional<Bias>> FindBias(const OpenLayer& layer, TensorId unfolded, TensorId folded,
                                       double unit) const {
    const FoldedSide& into = SideOf(!layer.in_a);
    const auto beside = BiasOf(into.checkpoint.manifest(), folded);
    std::optional<Bias> best;
    for (const BiasPair& pair : BiasPairs(layer, unfolded, folded)) {
      CKPT_ASSIGN_OR_RETURN(const Expected expected, ExpectedBias(layer, pair.before));
      CKPT_ASSIGN_OR_RETURN(const auto values,
                            ReadDoubles(into.checkpoint, pair.after, expected.values.size()));
      Bias bias{pair.after, FarthestOff(values, expected.values), true};
      for (std::size_t c = 0; c < values.size(); ++c) {
        const double allowed =
            std::max(16 * unit * expected.size[c],
                     tolerance_.atol + tolerance_.rtol * std::fabs(expected.values[c]));
        bias.same = bias.same && std::fabs(values[c] - expected.values[c]) <= allowed;
      }
      const bool better =
          !best || (bias.same && !best->same) || (bias.same == best->same && bias.off < best->off);
      if ((beside || bias.same) && better) best = bias;
    }
    return best;
  }

  FoldedSide a_, b_;
  const Tolerance tolerance_;
  std::vector<BatchNormDiff>& diffs_;
  std::vector<OpenLayer> open_;
  std::vector<std::size_t> unknown_epsilon_;  // layers that could be compared with one
  const std::vector<Match>* matches_ = nullptr;
  std::size_t kernels_ = 0;  // that both files have
};

}  // namespace

Status CompareFolded(const Checkpoint& a, const Analysis& analysis_a, const Checkpoint& b,
                     const Analysis& analysis_b, const std::vector<Match>& matches,
                     const std::vector<LayerMatch>& layers, Tolerance tolerance,
                     std::vector<BatchNormDiff>& diffs) {
  const FoldedFile of_a{a, analysis_a, true}, of_b{b, analysis_b, false};
  CKPT_RETURN_IF_ERROR(CompareWithOwnFold(of_a, of_b, matches, layers, tolerance, diffs));
  CKPT_RETURN_IF_ERROR(CompareWithOwnFold(of_b, of_a, matches, layers, tolerance, diffs));
  return Comparer({a, analysis_a}, {b, analysis_b}, tolerance, diffs).Run(matches, layers);
}

}  // namespace ckpt
