#include "ckpt/weight_norm.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ckpt/elements.h"
#include "ckpt/forwarding_checkpoint.h"
#include "fold/element_stream.h"
#include "fold/module_names.h"

namespace ckpt {
namespace {

// Where a tensor of the new manifest comes from: a copy, or g * v / |v|.
struct Source {
  TensorId v;  // or the tensor itself
  std::optional<TensorId> g = {};
};

// How the elements of v fall into channels: element i belongs to channel (i / inner) % channels.
struct Channels {
  std::uint64_t count = 1, inner = 1;
  std::uint64_t Of(std::uint64_t element) const { return element / inner % count; }
};

// The axis that g keeps; nullopt where g is no length of v.
std::optional<Channels> ChannelsOf(const Shape& v, const Shape& g) {
  if (g.element_count() == 1) return Channels{};  // all axes, or one of a single element
  if (g.rank() != v.rank()) return std::nullopt;
  std::optional<std::size_t> axis;
  for (std::size_t i = 0; i < v.rank(); ++i) {
    if (g[i] == 1) continue;
    if (g[i] != v[i] || axis) return std::nullopt;
    axis = i;
  }
  Channels channels{static_cast<std::uint64_t>(v[*axis]), 1};
  for (std::size_t i = *axis + 1; i < v.rank(); ++i) {
    channels.inner *= static_cast<std::uint64_t>(v[i]);
  }
  return channels;
}

class ComputedWeightStream : public TensorStream {
 public:
  ComputedWeightStream(ElementStream v, Channels channels, std::vector<double> factors, Dtype dtype)
      : v_(std::move(v)), channels_(channels), factors_(std::move(factors)), dtype_(dtype) {}

  Result<std::span<const std::byte>> Next() override {
    CKPT_ASSIGN_OR_RETURN(const std::span<double> piece, v_.Next());
    for (double& element : piece) element *= factors_[channels_.Of(position_++)];
    bytes_.resize(piece.size() * BitSize(dtype_) / 8);
    EncodeFromDouble(dtype_, piece, bytes_);
    return std::span<const std::byte>(bytes_);
  }

 private:
  ElementStream v_;
  Channels channels_;
  std::vector<double> factors_;  // g / |v|, by channel
  Dtype dtype_;
  std::uint64_t position_ = 0;
  std::vector<std::byte> bytes_;
};

class CheckpointWithWeights : public RewrittenCheckpoint {
 public:
  CheckpointWithWeights(std::unique_ptr<Checkpoint> checkpoint, Manifest manifest,
                        std::vector<Source> sources)
      : RewrittenCheckpoint(std::move(checkpoint)), sources_(std::move(sources)) {
    manifest_ = std::move(manifest);
    for (std::uint32_t i = 0; i < sources_.size(); ++i) {
      if (!sources_[i].g) places_.emplace(sources_[i].v, TensorId{i});
    }
  }

  Result<std::unique_ptr<TensorStream>> Open(TensorId id) const override {
    const Source& source = sources_[id.index];
    if (!source.g) return inner().Open(source.v);
    const auto& tensors = inner().manifest().tensors;
    const TensorInfo& info = manifest_.tensors[id.index];
    const Channels channels =
        *ChannelsOf(tensors[source.v.index].shape, tensors[source.g->index].shape);
    CKPT_ASSIGN_OR_RETURN(std::vector<double> factors,
                          ReadDoubles(inner(), *source.g, channels.count));
    CKPT_ASSIGN_OR_RETURN(const std::vector<double> squares, Squares(source.v, channels));
    for (std::size_t c = 0; c < factors.size(); ++c) {
      const double norm = std::sqrt(squares[c]);
      if (!(norm > 0) || !std::isfinite(norm)) {
        return Fail(
            Error{ErrorCode::kUnfit, "is g * v / |v| of a weight norm, and |v| is " +
                                         std::string(norm > 0 ? "not finite" : "0 or no number") +
                                         " in channel " + std::to_string(c)}
                .Of(info.name));
      }
      factors[c] /= norm;
    }
    CKPT_ASSIGN_OR_RETURN(ElementStream v, ElementStream::Open(inner(), source.v));
    return std::unique_ptr<TensorStream>(std::make_unique<ComputedWeightStream>(
        std::move(v), channels, std::move(factors), info.dtype));
  }

 protected:
  // A network that computes the weight itself reads g and v, which are not here.
  std::optional<TensorId> PlaceOf(TensorId id) const override {
    const auto place = places_.find(id);
    return place == places_.end() ? std::nullopt : std::optional(place->second);
  }

 private:
  Result<std::vector<double>> Squares(TensorId id, const Channels& channels) const {
    CKPT_ASSIGN_OR_RETURN(ElementStream v, ElementStream::Open(inner(), id));
    std::vector<double> squares(channels.count, 0);
    for (std::uint64_t position = 0;;) {
      CKPT_ASSIGN_OR_RETURN(const std::span<double> piece, v.Next());
      if (piece.empty()) return squares;
      for (const double element : piece) squares[channels.Of(position++)] += element * element;
    }
  }

  std::vector<Source> sources_;
  std::map<TensorId, TensorId> places_;  // of the tensors that are copied
};

struct WeightNorm {
  TensorId g, v;
  std::string name;
};

// "conv.parametrizations.weight." -> "conv.weight".
std::optional<std::string> ParametrisedName(const std::string& stem) {
  constexpr std::string_view kMark = "parametrizations.";
  const std::size_t at = stem.find(kMark);
  if (at == std::string::npos || (at > 0 && stem[at - 1] != '.')) return std::nullopt;
  std::string name = stem.substr(0, at) + stem.substr(at + kMark.size());
  if (name.ends_with('.')) name.pop_back();
  return name.empty() ? std::nullopt : std::optional(name);
}

// Has a parametrisation behind the first one tensors of its own? "parametrizations.weight.1._u".
bool IsChained(const Manifest& manifest, const std::string& stem) {
  return std::any_of(manifest.tensors.begin(), manifest.tensors.end(), [&](const TensorInfo& info) {
    return info.name.starts_with(stem) && info.name.size() > stem.size() &&
           info.name[stem.size()] >= '0' && info.name[stem.size()] <= '9';
  });
}

// The pair whose v is tensor `i`.
std::optional<WeightNorm> WeightNormOf(const Manifest& manifest, std::uint32_t i) {
  const std::string& name = manifest.tensors[i].name;
  WeightNorm found{{}, TensorId{i}, {}};
  std::optional<TensorId> g;
  if (const auto stem = Without(name, "original1")) {
    const auto computed = ParametrisedName(*stem);
    if (!computed || IsChained(manifest, *stem)) return std::nullopt;
    found.name = *computed;
    g = FindTensor(manifest, *stem + "original0");
  } else if (const auto base = Without(name, "_v");
             base && base->substr(base->rfind('.') + 1).starts_with("weight")) {
    found.name = *base;
    g = FindTensor(manifest, *base + "_g");
  }
  if (!g || FindTensor(manifest, found.name)) return std::nullopt;
  found.g = *g;
  const TensorInfo &of_v = manifest.tensors[i], &of_g = manifest.tensors[g->index];
  for (const TensorInfo* info : {&of_v, &of_g}) {
    const bool readable = info->section == Section::kModel && info->data_present &&
                          IsFloat(info->dtype) && BitSize(info->dtype) % 8 == 0;
    if (!readable) return std::nullopt;
  }
  if (of_v.shape.rank() < 2 || !ChannelsOf(of_v.shape, of_g.shape)) return std::nullopt;
  return found;
}

// The tensors with the computed ones in the place of their parts, sorted by name.
class Rewriter {
 public:
  explicit Rewriter(const Manifest& manifest) : old_(manifest) {
    for (std::uint32_t i = 0; i < old_.tensors.size(); ++i) {
      if (auto found = WeightNormOf(old_, i)) {
        parts_[found->g] = parts_[found->v] = norms_.size();
        norms_.push_back(*std::move(found));
      }
    }
  }

  std::size_t count() const { return norms_.size(); }

  std::pair<Manifest, std::vector<Source>> Rewrite() const {
    std::vector<std::pair<TensorInfo, Source>> tensors;
    for (std::uint32_t i = 0; i < old_.tensors.size(); ++i) {
      if (parts_.contains(TensorId{i})) continue;
      tensors.emplace_back(old_.tensors[i], Source{TensorId{i}});
    }
    for (const WeightNorm& norm : norms_) {
      TensorInfo info = old_.tensors[norm.v.index];
      info.name = info.stored_as = norm.name;
      info.checksum.reset();
      info.alias_of.reset();
      tensors.emplace_back(std::move(info), Source{norm.v, norm.g});
    }
    std::sort(tensors.begin(), tensors.end(),
              [](const auto& x, const auto& y) { return x.first.name < y.first.name; });
    std::map<TensorId, TensorId> moved, placed;  // without and with what is computed
    for (std::uint32_t i = 0; i < tensors.size(); ++i) {
      if (!tensors[i].second.g) moved.emplace(tensors[i].second.v, TensorId{i});
      placed.emplace(tensors[i].second.v, TensorId{i});
    }
    const auto move = [&](std::optional<TensorId>& id) {
      if (!id) return;
      const auto found = moved.find(*id);
      id = found == moved.end() ? std::nullopt : std::optional(found->second);
    };
    Manifest manifest = old_;
    manifest.tensors.clear();
    manifest.stored_order.clear();
    for (const TensorId id : old_.stored_order) {
      const auto found = placed.find(id);
      if (found != placed.end()) manifest.stored_order.push_back(found->second);
    }
    std::vector<Source> sources;
    for (auto& [info, source] : tensors) {
      move(info.slot_of);
      move(info.alias_of);
      manifest.tensors.push_back(std::move(info));
      sources.push_back(source);
    }
    for (Problem& problem : manifest.problems) {
      for (TensorId& id : problem.tensors) id = moved.at(id);  // no part is absent
    }
    manifest.note +=
        std::string(manifest.note.empty() ? "" : "; ") +
        "weight norms are computed, and gone from the output: w = g * v / |v| (" +
        norms_.front().name +
        (norms_.size() > 1 ? " and " + std::to_string(norms_.size() - 1) + " more)" : ")");
    return {std::move(manifest), std::move(sources)};
  }

 private:
  const Manifest& old_;
  std::vector<WeightNorm> norms_;
  std::map<TensorId, std::size_t> parts_;  // g and v of each
};

}  // namespace

std::unique_ptr<Checkpoint> WithWeightNormsComputed(std::unique_ptr<Checkpoint> checkpoint) {
  if (checkpoint->manifest().graph) return checkpoint;
  const Rewriter rewriter(checkpoint->manifest());
  if (rewriter.count() == 0) return checkpoint;
  auto [manifest, sources] = rewriter.Rewrite();
  return std::make_unique<CheckpointWithWeights>(std::move(checkpoint), std::move(manifest),
                                                 std::move(sources));
}

}  // namespace ckpt
