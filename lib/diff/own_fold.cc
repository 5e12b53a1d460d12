#include "diff/own_fold.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <utility>
#include <variant>

#include "ckpt/elements.h"
#include "ckpt/layer_computation.h"
#include "core/quoted.h"
#include "diff/permuted_elements.h"
#include "fold/element_stream.h"
#include "fold/fold_over_graph.h"
#include "fold/kernel_pair.h"

namespace ckpt {
namespace {

// How far the tensors of one folded layer are off in the other file.
struct LayerVerdict {
  bool same_kernel = false;
  double kernel_off = 0;  // of its largest element
  bool same_bias = true;
  double bias_off = 0;
  std::string kernel, bias;  // names in the other file; no bias: none is needed
};

class Judge {
 public:
  Judge(const FoldedFile& of, const FoldedFile& other, const std::vector<Match>& matches,
        Tolerance tolerance)
      : of_(of), other_(other), tolerance_(tolerance) {
    for (const Match& match : matches) {
      if (match.a && match.b) partners_.emplace(of.is_a ? *match.a : *match.b, &match);
    }
  }

  // Absent where the other file has no such kernel.
  Result<std::optional<LayerVerdict>> Judged(const FoldedLayer& layer) const {
    const auto tensors = layer.Tensors(of_.checkpoint.manifest());
    const auto kernel = Partner(tensors[0], layer.layer().kernel);
    if (!kernel || !Fits(tensors[0], *kernel)) return std::optional<LayerVerdict>{};
    LayerVerdict verdict;
    verdict.kernel = NameOf(kernel->id);
    CKPT_RETURN_IF_ERROR(
        CompareKernel(std::get<ScaledKernel>(tensors[0].content), *kernel, verdict));
    if (verdict.same_kernel) {
      CKPT_RETURN_IF_ERROR(CompareBias(layer, tensors, kernel->id, verdict));
    }
    return std::optional(std::move(verdict));
  }

  // Has the other file a partner for it?
  bool HasPartner(TensorId id) const { return partners_.contains(id); }

 private:
  struct Counterpart {
    TensorId id;
    const AxisOrder* order = nullptr;  // in which B's elements are those of A
  };

  const TensorInfo& Other(TensorId id) const {
    return other_.checkpoint.manifest().tensors[id.index];
  }
  const std::string& NameOf(TensorId id) const { return Other(id).name; }

  // By the match of the tensor, or by name where the layer gets one of its own.
  std::optional<Counterpart> Partner(const FoldedTensor& tensor,
                                     std::optional<TensorId> own) const {
    const Manifest& manifest = of_.checkpoint.manifest();
    if (own && manifest.tensors[own->index].name == tensor.info.name) {
      const auto match = partners_.find(*own);
      if (match == partners_.end()) return std::nullopt;
      const auto& order = match->second->order_of_b;
      return Counterpart{of_.is_a ? *match->second->b : *match->second->a,
                         order && !IsIdentity(*order) ? &*order : nullptr};
    }
    const auto named = FindTensor(other_.checkpoint.manifest(), tensor.info.name);
    return named ? std::optional(Counterpart{*named}) : std::nullopt;
  }

  bool Fits(const FoldedTensor& expected, const Counterpart& found) const {
    const TensorInfo& info = Other(found.id);
    // An order takes B's elements to A's, and not the other way.
    if (found.order != nullptr && !of_.is_a) return false;
    return IsFloat(info.dtype) && info.data_present &&
           info.shape.element_count() == expected.info.shape.element_count() &&
           (found.order != nullptr || info.shape == expected.info.shape);
  }

  double Unit(TensorId own, TensorId found) const {
    return std::max(UnitRoundoff(of_.checkpoint.manifest().tensors[own.index].dtype),
                    UnitRoundoff(Other(found).dtype));
  }

  // Each element, by itself.
  Status CompareKernel(const ScaledKernel& expected, const Counterpart& found,
                       LayerVerdict& verdict) const {
    const double allowed = 16 * Unit(expected.source, found.id) + tolerance_.rtol;
    CKPT_ASSIGN_OR_RETURN(auto before, ElementStream::Open(of_.checkpoint, expected.source));
    CKPT_ASSIGN_OR_RETURN(auto after,
                          PermutedElements::Open(other_.checkpoint, found.id, found.order));
    ChannelScaler by_out(expected.out_view, expected.out_factors);
    ChannelScaler by_in(expected.in_view, expected.in_factors);
    verdict.same_kernel = true;
    double largest = 0;
    while (true) {
      CKPT_ASSIGN_OR_RETURN(const auto piece, before.Next());
      if (piece.empty()) break;
      by_out.Scale(piece);
      by_in.Scale(piece);
      CKPT_ASSIGN_OR_RETURN(const std::vector<double>* const values, after.Take(piece.size()));
      for (std::size_t i = 0; i < piece.size(); ++i) {
        const double off = std::fabs(piece[i] - (*values)[i]);
        const double smallest = 0x1p-120;  // what a type of 16 bits rounds away
        if (!(off <= allowed * std::fabs(piece[i]) + tolerance_.atol + smallest)) {
          verdict.same_kernel = false;
          return {};
        }
        verdict.kernel_off = std::max(verdict.kernel_off, off);
        largest = std::max(largest, std::fabs(piece[i]));
      }
    }
    if (largest > 0) verdict.kernel_off /= largest;
    return {};
  }

  Status CompareBias(const FoldedLayer& layer, const std::vector<FoldedTensor>& tensors,
                     TensorId kernel, LayerVerdict& verdict) const {
    if (tensors.size() < 2) return {};
    const auto& expected = std::get<Constant>(tensors[1].content).values;
    std::optional<TensorId> bias = BiasOf(other_.checkpoint.manifest(), kernel);
    if (const auto partner = Partner(tensors[1], layer.layer().bias); !bias && partner) {
      bias = partner->id;
    }
    if (!bias || Other(*bias).shape.element_count() != expected.size() ||
        !IsFloat(Other(*bias).dtype) || !Other(*bias).data_present) {
      verdict.same_bias = false;
      for (const double value : expected) {
        verdict.bias_off = std::max(verdict.bias_off, std::fabs(value));
      }
      return {};
    }
    verdict.bias = NameOf(*bias);
    CKPT_ASSIGN_OR_RETURN(const auto values,
                          ReadDoubles(other_.checkpoint, *bias, expected.size()));
    double size = 0;  // of the numbers that a sum may have been rounded to
    for (const double value : expected) size = std::max(size, std::fabs(value));
    const double unit = Unit(layer.layer().kernel, *bias);
    for (std::size_t c = 0; c < expected.size(); ++c) {
      const double off = std::fabs(values[c] - expected[c]);
      verdict.bias_off = std::max(verdict.bias_off, off);
      const double allowed =
          std::max(16 * unit * size, tolerance_.atol + tolerance_.rtol * std::fabs(expected[c]));
      verdict.same_bias = verdict.same_bias && off <= allowed;
    }
    return {};
  }

  const FoldedFile& of_;
  const FoldedFile& other_;
  const Tolerance tolerance_;
  std::map<TensorId, const Match*> partners_;  // by a tensor of `of`
};

// A batch norm of `of` that took others, in the other file. Empty where that has another function.
Result<std::string> MergedInto(const FoldedFile& of, const FoldedFile& other,
                               const std::vector<LayerMatch>& layers, const FoldContext& context,
                               std::size_t index) {
  const BatchNorm* const own = &of.analysis.batch_norms[index];
  const auto match = std::find_if(layers.begin(), layers.end(), [&](const LayerMatch& layer) {
    return (of.is_a ? layer.a : layer.b) == own;
  });
  if (match == layers.end()) return std::string();
  const BatchNorm* const there = of.is_a ? match->b : match->a;
  const BatchNormFunction& expected = *context.candidates[index].function;
  if (there == nullptr || !there->moving_mean || !there->moving_variance || !there->epsilon ||
      there->channels != expected.channels()) {
    return std::string();
  }
  const Manifest& manifest = other.checkpoint.manifest();
  for (const TensorId id : TensorsOf(*there)) {
    if (!manifest.tensors[id.index].data_present) return std::string();
  }
  CKPT_ASSIGN_OR_RETURN(const BatchNormValues values, ReadValues(other.checkpoint, *there));
  for (const double variance : values.variance) {
    if (!(variance + values.epsilon > 0)) return std::string();
  }
  const ScaleShift function = EffectiveScaleShift(values);
  const double allowed = 16 * UnitRoundoff(manifest.tensors[there->moving_mean->index].dtype);
  for (std::size_t c = 0; c < expected.channels(); ++c) {
    const double scale = std::fabs(expected.scale[c]),
                 shift = std::fabs(expected.beta[c]) + std::fabs(expected.mean[c]) * scale;
    if (!(std::fabs(function.scale[c] - expected.scale[c]) <= allowed * scale) ||
        !(std::fabs(function.shift[c] - expected.Shift(c)) <= allowed * shift)) {
      return std::string();
    }
  }
  return there->scope;
}

// What became of one batch norm in all the layers that took it; false where a kernel is another.
// `into`: the batch norms that took it.
Result<bool> Describe(const Judge& judge, const FoldContext& context, const Candidate& candidate,
                      const char* side, std::string into, BatchNormDiff& diff) {
  bool same_bias = true;
  double scale_off = 0, shift_off = 0;
  for (const LayerKey& key : candidate.kernels) {
    CKPT_ASSIGN_OR_RETURN(const auto verdict, judge.Judged(context.steps.layers().at(key)));
    if (!verdict || !verdict->same_kernel) return false;
    into += (into.empty() ? "" : ", ") + Quoted(verdict->kernel);
    if (!verdict->bias.empty()) into += " and " + Quoted(verdict->bias);
    same_bias = same_bias && verdict->same_bias;
    scale_off = std::max(scale_off, verdict->kernel_off);
    shift_off = std::max(shift_off, verdict->bias_off);
  }
  if (into.empty()) return false;
  diff.compared = true;
  diff.remedy = Remedy::kNone;
  diff.equal_as_function = same_bias;
  diff.max_scale_diff = scale_off;
  diff.max_shift_diff = shift_off;
  diff.note = (same_bias ? "folded into " : "its scale was folded into ") + into + " of " + side;
  if (!same_bias) diff.note += ", and its shift is another";
  return true;
}

// Layers that `of` alone has and that were not compared, with their places in `diffs`.
std::map<const BatchNorm*, std::size_t> LayersAlone(const FoldedFile& of,
                                                    const std::vector<LayerMatch>& layers,
                                                    const std::vector<BatchNormDiff>& diffs) {
  std::map<const BatchNorm*, std::size_t> alone;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const BatchNorm* const own = of.is_a ? layers[i].a : layers[i].b;
    const BatchNorm* const there = of.is_a ? layers[i].b : layers[i].a;
    if (own != nullptr && there == nullptr && !diffs[i].compared) alone.emplace(own, i);
  }
  return alone;
}

// The batch norms of the other file that took the candidate; absent: one has another function.
Result<std::optional<std::string>> Takers(const FoldedFile& of, const FoldedFile& other,
                                          const std::vector<LayerMatch>& layers,
                                          const FoldContext& context, const Candidate& candidate) {
  std::string takers;
  for (const std::size_t taker : candidate.batch_norms) {
    CKPT_ASSIGN_OR_RETURN(const std::string scope, MergedInto(of, other, layers, context, taker));
    if (scope.empty()) return std::optional<std::string>{};
    takers += (takers.empty() ? "" : ", ") + Quoted(scope);
  }
  return std::optional(std::move(takers));
}

}  // namespace

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

Status CompareWithOwnFold(const FoldedFile& of, const FoldedFile& other,
                          const std::vector<Match>& matches, const std::vector<LayerMatch>& layers,
                          Tolerance tolerance, std::vector<BatchNormDiff>& diffs) {
  const Manifest& manifest = of.checkpoint.manifest();
  if (!manifest.graph) return {};
  const auto alone = LayersAlone(of, layers, diffs);
  const auto& own_layers = manifest.graph->layers;
  if (alone.empty() && std::none_of(own_layers.begin(), own_layers.end(), ScalesChannels)) {
    return {};
  }
  FoldOptions options;
  options.fold = options.close_training_mode = true;
  FoldContext context(of.checkpoint, of.analysis, options);
  for (std::size_t i = 0; i < context.candidates.size(); ++i) {
    CKPT_RETURN_IF_ERROR(context.ReadFunction(i));
  }
  CKPT_RETURN_IF_ERROR(FoldOverGraph(context));
  const Judge judge(of, other, matches, tolerance);
  const char* const side = of.is_a ? "B" : "A";
  for (std::size_t i = 0; i < context.candidates.size(); ++i) {
    const Candidate& candidate = context.candidates[i];
    const auto layer = candidate.is_scale ? alone.end() : alone.find(&of.analysis.batch_norms[i]);
    const bool open =
        candidate.is_scale ? !judge.HasPartner(*candidate.batch_norm.gamma) : layer != alone.end();
    if (!candidate.folded || !open) continue;
    CKPT_ASSIGN_OR_RETURN(auto takers, Takers(of, other, layers, context, candidate));
    if (!takers) continue;
    BatchNormDiff diff = candidate.is_scale ? BatchNormDiff{} : diffs[layer->second];
    if (candidate.is_scale) (of.is_a ? diff.scope_a : diff.scope_b) = candidate.batch_norm.scope;
    CKPT_ASSIGN_OR_RETURN(const bool found,
                          Describe(judge, context, candidate, side, *std::move(takers), diff));
    if (!found) continue;
    if (candidate.is_scale) {
      diffs.push_back(std::move(diff));
    } else {
      diffs[layer->second] = std::move(diff);
    }
  }
  return {};
}

}  // namespace ckpt
