#include "fold/folded_layer.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "ckpt/elements.h"
#include "core/element_loops.h"
#include "fold/element_stream.h"
#include "fold/reason.h"

namespace ckpt {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

void MultiplyInto(std::vector<double>& factors, std::size_t index, std::size_t count,
                  double factor) {
  if (factors.empty()) factors.assign(count, 1.0);
  factors[index] *= factor;
}

std::size_t ChannelAt(std::size_t in_channel, std::size_t in_channels, std::size_t channels,
                      ChannelOrder order) {
  switch (order) {
    case ChannelOrder::kSame:
      return in_channel;
    case ChannelOrder::kRepeatedInner:
      return in_channel % channels;
    case ChannelOrder::kRepeatedOuter:
      return in_channel / (in_channels / channels);
  }
  return in_channel;
}

// Sums w * in * shift, and the magnitudes of the same terms, per out channel.
struct ForwardSums {
  std::vector<double> sum, magnitude;
};
Result<ForwardSums> SumForward(const Checkpoint& checkpoint, const LinearLayer& layer,
                               const std::vector<double>& shifts) {
  const std::size_t channels = layer.views.out_channels;
  ForwardSums result{std::vector<double>(channels, 0.0), std::vector<double>(channels, 0.0)};
  std::vector<double> rests(channels, 0.0);
  ChannelScaler shift(layer.views.in, shifts);
  ChannelCursor out(layer.views.out);
  CKPT_ASSIGN_OR_RETURN(auto elements, ElementStream::Open(checkpoint, layer.kernel));
  while (true) {
    CKPT_ASSIGN_OR_RETURN(const auto piece, elements.Next());
    if (piece.empty()) break;
    shift.Scale(piece);
    ForEachRun(out, piece, [&](std::span<double> run, std::uint64_t channel, bool same) {
      const CompensatedSums sums{&result.sum[channel], &rests[channel], &result.magnitude[channel]};
      if (same) {
        AddAllCompensated(run, sums);
      } else {
        AddCompensated(run, sums);
      }
    });
  }
  for (std::size_t o = 0; o < channels; ++o) result.sum[o] += rests[o];
  return result;
}

std::string OutOfRange(const std::string& name, std::uint64_t count, std::uint64_t total,
                       double largest, Dtype dtype) {
  return std::to_string(count) + " of " + std::to_string(total) + " folded values of " +
         Quoted(name) + " exceed " + std::string(Name(dtype)) + " (the largest is " +
         FormatNumber(largest) + ", the type ends at " + FormatNumber(MaxFinite(dtype)) + ")";
}

std::uint64_t CountSubnormal(std::span<const double> values, Dtype dtype) {
  return CountMagnitudes(values, std::numeric_limits<double>::denorm_min(),
                         std::nextafter(MinNormal(dtype), 0.0));
}

}  // namespace

Result<FoldedLayer> FoldedLayer::Read(const Checkpoint& checkpoint, LinearLayer layer,
                                      std::optional<Dtype> cast) {
  FoldedLayer folded(std::move(layer));
  const auto& tensors = checkpoint.manifest().tensors;
  const std::uint64_t channels = folded.layer_.views.out_channels;
  folded.kernel_dtype_ = cast.value_or(tensors[folded.layer_.kernel.index].dtype);
  folded.bias_dtype_ = folded.kernel_dtype_;
  folded.bias_.assign(channels, 0.0);
  if (folded.layer_.bias) {
    folded.bias_dtype_ = cast.value_or(tensors[folded.layer_.bias->index].dtype);
    CKPT_ASSIGN_OR_RETURN(folded.bias_, ReadDoubles(checkpoint, *folded.layer_.bias, channels));
    if (folded.bias_.size() == 1) folded.bias_.assign(channels, folded.bias_.front());
    for (double& b : folded.bias_) b *= folded.layer_.bias_factor;
    if (!std::all_of(folded.bias_.begin(), folded.bias_.end(),
                     [](double b) { return std::isfinite(b); })) {
      return Refuse(Quoted(tensors[folded.layer_.bias->index].name) + " holds NaN or infinity");
    }
  }
  folded.bias_terms_.resize(channels);
  std::transform(folded.bias_.begin(), folded.bias_.end(), folded.bias_terms_.begin(),
                 [](double b) { return std::fabs(b); });
  return folded;
}

void FoldedLayer::FoldBackward(const BatchNormFunction& function, std::size_t first_channel,
                               bool adds_shift) {
  ++steps_;
  for (std::size_t o = 0; o < bias_.size(); ++o) {
    const std::size_t c = first_channel + o;
    const double scale = function.scale[c];
    const double mean = adds_shift ? function.mean[c] : 0;
    const double beta = adds_shift ? function.beta[c] : 0;
    MultiplyInto(out_factors_, o, bias_.size(), scale);
    bias_[o] = (bias_[o] - mean) * scale + beta;
    bias_terms_[o] = (bias_terms_[o] + std::fabs(mean)) * std::fabs(scale) + std::fabs(beta);
  }
}

Status FoldedLayer::FoldForward(const Checkpoint& checkpoint, const BatchNormFunction& function,
                                ChannelOrder order) {
  ++steps_;
  const std::size_t in_channels = layer_.views.in_channels;
  std::vector<double> shifts(in_channels);
  bool shifted = false;
  for (std::size_t i = 0; i < in_channels; ++i) {
    const std::size_t c = ChannelAt(i, in_channels, function.channels(), order);
    shifts[i] = function.Shift(c) * (in_factors_.empty() ? 1.0 : in_factors_[i]);
    shifted |= shifts[i] != 0;
  }
  if (shifted) {
    CKPT_ASSIGN_OR_RETURN(const ForwardSums sums, SumForward(checkpoint, layer_, shifts));
    for (std::size_t o = 0; o < bias_.size(); ++o) {
      const double out = layer_.kernel_factor * (out_factors_.empty() ? 1.0 : out_factors_[o]);
      bias_[o] += out * sums.sum[o];
      bias_terms_[o] += std::fabs(out) * sums.magnitude[o];
    }
  }
  for (std::size_t i = 0; i < in_channels; ++i) {
    const std::size_t c = ChannelAt(i, in_channels, function.channels(), order);
    MultiplyInto(in_factors_, i, in_channels, function.scale[c]);
  }
  return {};
}

Status FoldedLayer::Check(const Checkpoint& checkpoint, std::vector<std::string>& notes) {
  const TensorInfo& info = checkpoint.manifest().tensors[layer_.kernel.index];
  kernel_sums_.assign(bias_.size(), 0.0);
  std::uint64_t subnormal_before = 0, subnormal = 0, overflowed = 0;
  double largest = 0;
  ChannelScaler by_out(layer_.views.out, out_factors_), by_in(layer_.views.in, in_factors_);
  ChannelCursor out(layer_.views.out);
  CKPT_ASSIGN_OR_RETURN(auto elements, ElementStream::Open(checkpoint, layer_.kernel));
  while (true) {
    CKPT_ASSIGN_OR_RETURN(const auto piece, elements.Next());
    if (piece.empty()) break;
    if (!AllFinite(piece)) return Refuse(Quoted(info.name) + " holds NaN or infinity");
    subnormal_before += CountSubnormal(piece, kernel_dtype_);
    by_out.Scale(piece);
    by_in.Scale(piece);
    subnormal += CountSubnormal(piece, kernel_dtype_);
    overflowed += LossOfEncoding(kernel_dtype_, piece).overflowed;
    largest = std::max(largest, LargestMagnitude(piece, kInfinity));
    ForEachRun(out, piece, [this](std::span<double> run, std::uint64_t channel, bool same) {
      if (same) {
        kernel_sums_[channel] += SumOfMagnitudes(run, layer_.kernel_factor);
      } else {
        AddMagnitudes(run, layer_.kernel_factor, &kernel_sums_[channel]);
      }
    });
  }
  if (overflowed != 0) {
    return Refuse(
        OutOfRange(info.name, overflowed, info.shape.element_count(), largest, kernel_dtype_));
  }
  if (subnormal > subnormal_before) {
    notes.push_back(std::to_string(subnormal - subnormal_before) + " values of " +
                    Quoted(info.name) + " fall below the smallest normal " +
                    std::string(Name(kernel_dtype_)) + ", " +
                    FormatNumber(MinNormal(kernel_dtype_)) + ", when folded");
  }
  return CheckBias(checkpoint.manifest(), notes);
}

Status FoldedLayer::CheckBias(const Manifest& manifest, std::vector<std::string>& notes) const {
  if (NeedsNewBias() && !layer_.new_bias) {
    return Refuse("the layer of " + Quoted(manifest.tensors[layer_.kernel.index].name) +
                  " has no bias and cannot be given one");
  }
  const std::string& name = layer_.bias_name.empty() ? layer_.kernel_name : layer_.bias_name;
  const std::vector<double> written = WrittenBias();
  const EncodeLoss loss = LossOfEncoding(bias_dtype_, written);
  double largest = 0;
  for (const double b : written) largest = std::max(largest, std::fabs(b));
  if (loss.overflowed != 0 || !std::isfinite(largest)) {
    return Refuse(OutOfRange(name, std::max<std::uint64_t>(loss.overflowed, 1), bias_.size(),
                             largest, bias_dtype_));
  }
  if (loss.underflowed != 0) {
    notes.push_back(std::to_string(loss.underflowed) + " values of " + Quoted(name) +
                    " fall below the smallest normal " + std::string(Name(bias_dtype_)) +
                    " when folded");
  }
  return {};
}

double FoldedLayer::ErrorBound() const {
  // A double operation errs by at most 2^-53 of its result; a fold makes fewer than eight of them
  // on each value.
  const double in_double = 0x1p-53 * 8 * steps_;
  const double u = std::max(UnitRoundoff(kernel_dtype_), UnitRoundoff(bias_dtype_));
  const double terms = static_cast<double>(layer_.views.terms) + 2;
  double bound = 0;
  for (std::size_t o = 0; o < bias_.size(); ++o) {
    const double written = kernel_sums_[o] + std::fabs(bias_[o]);
    const double computed = kernel_sums_[o] + bias_terms_[o];
    bound = std::max(bound, terms * u * written + in_double * computed);
  }
  return bound;
}

std::vector<double> FoldedLayer::WrittenBias() const {
  std::vector<double> written = bias_;
  if (layer_.bias && layer_.bias_factor != 1) {
    for (double& b : written) b /= layer_.bias_factor;
  }
  return written;
}

bool FoldedLayer::NeedsNewBias() const {
  return !layer_.bias && std::any_of(bias_.begin(), bias_.end(), [](double b) { return b != 0; });
}

std::vector<FoldedTensor> FoldedLayer::Tensors(const Manifest& manifest) const {
  const auto written_as = [](TensorInfo info, const std::string& name, Dtype dtype) {
    if (info.name != name) {
      info.name = info.stored_as = name;
      info.alias_of.reset();
    }
    info.dtype = dtype;
    info.byte_size = info.shape.element_count() * BitSize(dtype) / 8;
    info.checksum.reset();
    info.data_file.clear();
    return info;
  };
  std::vector<FoldedTensor> tensors;
  tensors.push_back(
      {written_as(manifest.tensors[layer_.kernel.index], layer_.kernel_name, kernel_dtype_),
       ScaledKernel{.source = layer_.kernel,
                    .out_view = layer_.views.out,
                    .out_factors = out_factors_,
                    .in_view = layer_.views.in,
                    .in_factors = in_factors_}});
  if (layer_.bias || NeedsNewBias()) {
    TensorInfo info = layer_.bias ? manifest.tensors[layer_.bias->index] : *layer_.new_bias;
    if (info.shape.element_count() != bias_.size()) {
      info.shape = *Shape::FromDims({static_cast<std::int64_t>(bias_.size())});
    }
    tensors.push_back(
        {written_as(std::move(info), layer_.bias_name, bias_dtype_), Constant{WrittenBias()}});
  }
  return tensors;
}

}  // namespace ckpt
