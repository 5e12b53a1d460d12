#include "fold/naming_pairs.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <span>

#include "fold/channel_view.h"
#include "fold/linear_layer.h"
#include "fold/reason.h"
#include "roles/scope_words.h"
#include "roles/tensor_name.h"

namespace ckpt {
namespace {

// Longest first, so that "batch_norm" is not found inside "batch_normalization".
constexpr std::array<std::string_view, 5> kBatchNormWords = {
    "batch_normalization", "batchnormalization", "batch_norm", "batchnorm", "bn"};
constexpr std::array<std::string_view, 10> kLinearWords = {"depthwise_conv2d",
                                                           "separable_conv2d",
                                                           "convolution",
                                                           "conv1d",
                                                           "conv2d",
                                                           "conv3d",
                                                           "conv",
                                                           "dense",
                                                           "linear",
                                                           "fc"};

bool IsBorder(char c) { return c == '_' || c == '-'; }

// The words that a layer's name can be understood as saying: each with one of `words` replaced by
// '@' and, for batch norms ("block_BN" of "block"), with it left out.
std::set<std::string> Keys(std::string_view scope, std::span<const std::string_view> words,
                           bool may_leave_out) {
  const NameParts parts = SplitName(scope);
  const std::string prefix = parts.parent + parts.separator;
  std::string leaf = parts.leaf;
  std::transform(leaf.begin(), leaf.end(), leaf.begin(), [](char c) {
    return static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  });
  std::set<std::string> keys;
  if (!may_leave_out) keys.insert(prefix + leaf);
  for (std::size_t at = 0; at < leaf.size(); ++at) {
    if (at != 0 && !IsBorder(leaf[at - 1])) continue;
    const std::string_view rest = std::string_view(leaf).substr(at);
    const auto word = std::find_if(words.begin(), words.end(), [&](std::string_view w) {
      if (!rest.starts_with(w)) return false;
      return rest.size() == w.size() || IsBorder(rest[w.size()]) ||
             std::isdigit(static_cast<unsigned char>(rest[w.size()])) != 0;
    });
    if (word == words.end()) continue;
    const std::string before = leaf.substr(0, at);
    const std::string after = leaf.substr(at + word->size());
    keys.insert(prefix + before + "@" + after);
    if (!may_leave_out) continue;
    if (after.empty() && at != 0) keys.insert(prefix + before.substr(0, at - 1));
    if (before.empty() && !after.empty() && IsBorder(after[0])) {
      keys.insert(prefix + after.substr(1));
    }
  }
  return keys;
}

std::size_t OutChannels(const Manifest& manifest, std::optional<Framework> framework,
                        TensorId kernel) {
  const auto layout = ConventionalLayout(manifest, framework, kernel);
  if (!layout) return 0;
  const auto views = ViewsOf(manifest.tensors[kernel.index].shape, *layout, 1);
  return views ? views->out_channels : 0;
}

Result<KernelPair> MakePair(const Manifest& manifest, const Analysis& analysis, TensorId kernel,
                            const std::string& why) {
  KernelPair pair{.kernel = kernel, .bias = BiasBeside(manifest, kernel)};
  CKPT_ASSIGN_OR_RETURN(pair.layout, ConventionalLayout(manifest, analysis.framework, kernel));
  pair.evidence.push_back({EvidenceSource::kUser, why});
  pair.evidence.push_back({EvidenceSource::kNaming, "layout " + std::string(Name(pair.layout)) +
                                                        ", the convention of " +
                                                        std::string(Name(*analysis.framework))});
  const Shape& shape = manifest.tensors[kernel.index].shape;
  const auto views = ViewsOf(shape, pair.layout, 1);
  if (shape.rank() > 2 && views && views->in_channels == views->out_channels) {
    pair.evidence.push_back(
        {EvidenceSource::kDefault,
         "taken for no transposed convolution, whose kernel could have the same "
         "shape; --pairs can give the layout"});
  }
  return pair;
}

// How many places a batch norm stands behind a kernel in a numbered sequence, as the modules of
// torch.nn.Sequential are ("net.0" and "net.1"); nothing where their names part otherwise.
std::optional<std::int64_t> PlacesBehind(std::string_view batch_norm, std::string_view kernel) {
  constexpr std::string_view kSeparators = "./";
  while (!batch_norm.empty() && !kernel.empty()) {
    const std::string_view b = batch_norm.substr(0, batch_norm.find_first_of(kSeparators));
    const std::string_view k = kernel.substr(0, kernel.find_first_of(kSeparators));
    if (b != k) {
      std::int64_t at_b = 0, at_k = 0;
      const auto read = [](std::string_view text, std::int64_t& value) {
        const auto end = text.data() + text.size();
        const auto [stop, error] = std::from_chars(text.data(), end, value);
        return error == std::errc() && stop == end && value >= 0;
      };
      return read(b, at_b) && read(k, at_k) ? std::optional(at_b - at_k) : std::nullopt;
    }
    batch_norm.remove_prefix(std::min(batch_norm.size(), b.size() + 1));
    kernel.remove_prefix(std::min(kernel.size(), k.size() + 1));
  }
  return std::nullopt;
}

// Gives each batch norm a kernel of its own, in order, and none that comes after it. It is the only
// way to do so if taking each as early as possible and as late as possible ends in the same
// kernels.
struct Alignment {
  std::vector<std::size_t> kernels = {};  // by batch norm: index into OpenLayers::kernels
  std::string why_not = {};
};
Alignment Align(const Manifest& manifest, const Analysis& analysis, const OpenLayers& layers) {
  std::vector<std::size_t> channels;
  for (const TensorId kernel : layers.kernels) {
    channels.push_back(OutChannels(manifest, analysis.framework, kernel));
  }
  const auto batch_norm = [&](std::size_t b) -> const BatchNorm& {
    return analysis.batch_norms[layers.batch_norms[b]];
  };
  const auto name = [&](std::size_t k) -> const std::string& {
    return manifest.tensors[layers.kernels[k].index].name;
  };
  const auto fits = [&](std::size_t k, std::size_t b) {
    return channels[k] == batch_norm(b).channels &&
           PlacesBehind(batch_norm(b).scope, name(k)).value_or(1) > 0;
  };
  const std::size_t count = layers.batch_norms.size();
  Alignment early;
  std::size_t kernel = 0;
  for (std::size_t b = 0; b < count; ++b, ++kernel) {
    while (kernel < channels.size() && !fits(kernel, b)) ++kernel;
    if (kernel == channels.size()) {
      return {.why_not =
                  "the kernels in order cannot be paired with the batch norms: none is left "
                  "for " +
                  Quoted(batch_norm(b).scope)};
    }
    early.kernels.push_back(kernel);
  }
  kernel = channels.size();
  for (std::size_t b = count; b-- > 0;) {
    do {
      --kernel;  // ends at the early one, if not before
    } while (!fits(kernel, b));
    if (kernel == early.kernels[b]) continue;
    return {.why_not = "the order is ambiguous: " + Quoted(batch_norm(b).scope) + " may go with " +
                       Quoted(name(early.kernels[b])) + " or with " + Quoted(name(kernel))};
  }
  return early;
}

void Add(PairingResult& result, std::size_t batch_norm, Result<KernelPair> pair) {
  if (pair) {
    result.pairs.emplace(batch_norm, *std::move(pair));
  } else {
    result.refused[batch_norm] = pair.error().message;
  }
}

}  // namespace

OpenLayers LayersLeft(const Manifest& manifest, const Analysis& analysis,
                      const std::set<std::size_t>& settled,
                      const std::set<TensorId>& settled_kernels) {
  OpenLayers layers;
  for (std::size_t i = 0; i < analysis.batch_norms.size(); ++i) {
    const BatchNorm& batch_norm = analysis.batch_norms[i];
    if (!batch_norm.moving_mean || !batch_norm.moving_variance) continue;
    if (!settled.contains(i)) layers.batch_norms.push_back(i);
  }
  for (std::uint32_t t = 0; t < manifest.tensors.size(); ++t) {
    const TensorInfo& info = manifest.tensors[t];
    if (analysis.roles[t].role != Role::kKernel || info.shape.rank() < 2) continue;
    if (settled_kernels.contains(TensorId{t})) continue;
    // Of a separable convolution the pointwise kernel comes last.
    const NameParts parts = SplitName(info.name);
    if (parts.leaf.starts_with("depthwise_") &&
        FindTensor(manifest,
                   parts.parent + parts.separator + "pointwise_" + parts.leaf.substr(10))) {
      continue;
    }
    layers.kernels.push_back(TensorId{t});
  }
  std::sort(layers.kernels.begin(), layers.kernels.end(), [&](TensorId a, TensorId b) {
    return NaturalLess(manifest.tensors[a.index].name, manifest.tensors[b.index].name);
  });
  return layers;
}

PairingResult PairByName(const Manifest& manifest, const Analysis& analysis,
                         const OpenLayers& layers) {
  std::map<std::string, std::vector<TensorId>> kernels;  // by what their names say
  for (const TensorId kernel : layers.kernels) {
    const std::string scope = ParseName(manifest.tensors[kernel.index].name).scope;
    for (const auto& key : Keys(scope, kLinearWords, false)) kernels[key].push_back(kernel);
  }
  std::map<std::size_t, std::set<TensorId>> candidates;
  std::map<TensorId, std::size_t> claims;
  for (const std::size_t i : layers.batch_norms) {
    for (const auto& key : Keys(analysis.batch_norms[i].scope, kBatchNormWords, true)) {
      const auto found = kernels.find(key);
      if (found == kernels.end()) continue;
      for (const TensorId kernel : found->second) {
        const auto channels = OutChannels(manifest, analysis.framework, kernel);
        // A kernel without a layout stays one, so that the user hears of it.
        if (channels == 0 || channels == analysis.batch_norms[i].channels) {
          candidates[i].insert(kernel);
        }
      }
    }
    for (const TensorId kernel : candidates[i]) ++claims[kernel];
  }

  PairingResult result;
  for (const auto& [i, of] : candidates) {
    if (of.size() == 1 && claims[*of.begin()] == 1) {
      const std::string& kernel = manifest.tensors[of.begin()->index].name;
      Add(result, i,
          MakePair(manifest, analysis, *of.begin(),
                   "--pair-by-name: " + Quoted(analysis.batch_norms[i].scope) + " goes with " +
                       Quoted(kernel)));
      continue;
    }
    std::string names;
    for (const TensorId kernel : of) {
      names += (names.empty() ? "" : ", ") + Quoted(manifest.tensors[kernel.index].name);
    }
    result.refused[i] = of.empty() ? "no kernel with as many channels has a name that goes with it"
                                   : "its name is not the only one that goes with " + names;
  }
  return result;
}

PairingResult PairByOrder(const Manifest& manifest, const Analysis& analysis,
                          const OpenLayers& layers) {
  const Alignment alignment = Align(manifest, analysis, layers);
  PairingResult result;
  for (std::size_t b = 0; b < layers.batch_norms.size(); ++b) {
    const std::size_t i = layers.batch_norms[b];
    if (!alignment.why_not.empty()) {
      result.refused[i] = alignment.why_not;
      continue;
    }
    const TensorId kernel = layers.kernels[alignment.kernels[b]];
    const std::string& name = manifest.tensors[kernel.index].name;
    if (PlacesBehind(analysis.batch_norms[i].scope, name).value_or(1) > 1) {
      result.refused[i] = "by their numbers another module stands between it and " + Quoted(name) +
                          ", an activation perhaps; --pairs can say that it is none";
      continue;
    }
    Add(result, i,
        MakePair(manifest, analysis, kernel,
                 "--pair-by-order: " + Quoted(analysis.batch_norms[i].scope) + " goes with " +
                     Quoted(name)));
  }
  return result;
}

}  // namespace ckpt
