#include "fold/name_keys.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <span>

namespace ckpt {
namespace {

// Longest first, so that "batch_norm" is not found inside "batch_normalization".
constexpr std::array<std::string_view, 9> kBatchNormWords = {"batch_normalization",
                                                             "batchnormalization",
                                                             "batch_norm",
                                                             "batchnorm",
                                                             "batch_norms",
                                                             "norms",
                                                             "norm",
                                                             "bns",
                                                             "bn"};
constexpr std::array<std::string_view, 14> kLinearWords = {"depthwise_conv2d",
                                                           "separable_conv2d",
                                                           "convolution",
                                                           "conv1d",
                                                           "conv2d",
                                                           "conv3d",
                                                           "convs",
                                                           "conv",
                                                           "dense",
                                                           "linear",
                                                           "linears",
                                                           "fcs",
                                                           "fc",
                                                           "denses"};

bool IsBorder(char c) { return c == '_' || c == '-'; }

std::string Lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](char c) {
    return static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  });
  return text;
}

// The words that a layer's name can be understood as saying: each with one of `words` replaced by
// '@' and, for batch norms ("block_BN" of "block"), with it left out. Of a numbered layer the word
// stands in the name of the list: "convs.0" and "bns.0".
std::set<std::string> Keys(const NamedLayer& layer, std::span<const std::string_view> words,
                           bool may_leave_out) {
  NameParts parts = layer.parts;
  std::string behind;
  if (PlaceInSequence(parts.leaf) && !parts.parent.empty()) {
    behind = parts.separator + parts.leaf;
    parts = SplitName(parts.parent);
    may_leave_out = false;
  }
  const std::string prefix = parts.parent + parts.separator;
  const std::string leaf = Lower(parts.leaf);
  std::set<std::string> keys;
  if (!may_leave_out && behind.empty()) keys.insert(prefix + leaf);
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
    keys.insert(prefix + before + "@" + after + behind);
    if (!may_leave_out) continue;
    if (after.empty() && at != 0) keys.insert(prefix + before.substr(0, at - 1));
    if (before.empty() && !after.empty() && IsBorder(after[0])) {
      keys.insert(prefix + after.substr(1));
    }
  }
  return keys;
}

}  // namespace

NameKeys::NameKeys(const NamedLayers& layers) {
  for (std::size_t i = 0; i < layers.layers().size(); ++i) {
    const NamedLayer& layer = layers.layers()[i];
    if (!layer.kernel || layer.batch_norm) continue;
    for (const auto& key : Keys(layer, kLinearWords, false)) kernels_[key].push_back(i);
  }
}

std::set<std::size_t> NameKeys::KernelsOf(const NamedLayer& batch_norm) const {
  std::set<std::size_t> found;
  for (const auto& key : Keys(batch_norm, kBatchNormWords, true)) {
    const auto kernels = kernels_.find(key);
    if (kernels != kernels_.end()) found.insert(kernels->second.begin(), kernels->second.end());
  }
  return found;
}

bool NameKeys::GoTogether(const NamedLayer& kernel, const NamedLayer& batch_norm) const {
  const auto of_kernel = Keys(kernel, kLinearWords, false);
  const auto of_norm = Keys(batch_norm, kBatchNormWords, true);
  return std::any_of(of_norm.begin(), of_norm.end(),
                     [&](const std::string& key) { return of_kernel.contains(key); });
}

}  // namespace ckpt
