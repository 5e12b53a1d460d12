#include "fold/batch_norm_function.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>

#include "ckpt/elements.h"
#include "fold/channel_view.h"
#include "fold/reason.h"

namespace ckpt {
namespace {

// "3 of 16 channels (first: channel 5, -0.01)", or empty where no value of `of` satisfies `bad`.
std::string Offenders(const std::vector<double>& of, const std::function<bool(double)>& bad) {
  const auto first = std::find_if(of.begin(), of.end(), bad);
  if (first == of.end()) return {};
  return std::to_string(std::count_if(first, of.end(), bad)) + " of " + std::to_string(of.size()) +
         " channels (first: channel " + std::to_string(first - of.begin()) + ", " +
         FormatNumber(*first) + ")";
}

bool IsNotFinite(double value) { return !std::isfinite(value); }

Status CheckVectors(const Manifest& manifest, const BatchNorm& batch_norm) {
  for (const auto& id :
       {batch_norm.gamma, batch_norm.beta, batch_norm.moving_mean, batch_norm.moving_variance}) {
    if (!id) continue;
    const TensorInfo& info = manifest.tensors[id->index];
    if (!IsFloat(info.dtype)) {
      return Refuse(Quoted(info.name) + " holds " + std::string(Name(info.dtype)));
    }
    if (!info.data_present) return Refuse("the data of " + Quoted(info.name) + " is absent");
  }
  return {};
}

// What the manifest and the graph alone can say against `batch_norm`.
Status CheckRecord(const Manifest& manifest, const BatchNorm& batch_norm,
                   const FoldOptions& options) {
  const bool closed = options.close_training_mode && !batch_norm.training_mode_overridden;
  if (!batch_norm.training_mode.empty() && !closed)
    return Refuse("it is in training mode: " + batch_norm.training_mode);
  if (manifest.graph && batch_norm.layer) {
    const Layer& layer = manifest.graph->layers[*batch_norm.layer];
    if (!layer.fed_tensors.empty()) {
      const auto& [name, source] = *layer.fed_tensors.begin();
      return Refuse("its " + name + " is " + source);
    }
  }
  if (!batch_norm.moving_mean) return Refuse("its moving mean is missing");
  if (!batch_norm.moving_variance) return Refuse("its moving variance is missing");
  if (!batch_norm.channels) return Refuse("its tensors disagree on the number of channels");
  if (*batch_norm.channels == 0 || *batch_norm.channels > kMaxChannels) {
    return Refuse("it has " + std::to_string(*batch_norm.channels) + " channels");
  }
  CKPT_RETURN_IF_ERROR(CheckVectors(manifest, batch_norm));
  if (!batch_norm.epsilon) return Refuse("its epsilon is not recorded", Remedy::kGiveEpsilon);
  if (options.strict && batch_norm.epsilon->evidence.source == EvidenceSource::kDefault) {
    return Refuse("its epsilon is not recorded, and " + FormatNumber(batch_norm.epsilon->value) +
                      " is not to be assumed",
                  Remedy::kGiveEpsilon);
  }
  if (!std::isfinite(batch_norm.epsilon->value) || batch_norm.epsilon->value < 0) {
    return Refuse("its epsilon is " + FormatNumber(batch_norm.epsilon->value));
  }
  if (!manifest.graph || !batch_norm.layer) return {};
  const Layer& layer = manifest.graph->layers[*batch_norm.layer];
  if (!layer.not_affine.empty()) return Refuse(layer.not_affine);
  if (!layer.unproved_class.empty() && !batch_norm.vouched) {
    return Refuse(layer.unproved_class + ", so it may compute something else", Remedy::kGivePair);
  }
  if (!layer.missing_tensors.empty()) {
    return Refuse("the file lacks its " + layer.missing_tensors.front());
  }
  return {};
}

Status CheckValues(const BatchNormValues& values) {
  const std::pair<const char*, const std::vector<double>*> vectors[] = {
      {"gamma", &values.gamma},
      {"beta", &values.beta},
      {"moving mean", &values.mean},
      {"moving variance", &values.variance}};
  for (const auto& [name, vector] : vectors) {
    if (const auto bad = Offenders(*vector, IsNotFinite); !bad.empty()) {
      return Refuse("its " + std::string(name) + " is not finite in " + bad);
    }
  }
  const auto not_positive = [&](double v) { return !(v + values.epsilon > 0); };
  if (const auto bad = Offenders(values.variance, not_positive); !bad.empty()) {
    return Refuse("variance + epsilon is not positive in " + bad);
  }
  return {};
}

void NoteValues(const std::string& scope, const BatchNormValues& values,
                std::vector<std::string>& notes) {
  if (const auto dead = Offenders(values.gamma, [](double v) { return v == 0; }); !dead.empty()) {
    notes.push_back(scope + ": gamma is 0 in " + dead + "; what they yield is constant");
  }
  if (const auto bad = Offenders(values.variance, [](double v) { return v < 0; }); !bad.empty()) {
    notes.push_back(scope + ": the variance is negative in " + bad +
                    "; variance + epsilon is still positive and is used as it stands");
  }
}

}  // namespace

bool BatchNormFunction::ShiftIsZero(std::size_t first, std::size_t count) const noexcept {
  for (std::size_t c = first; c < first + count; ++c) {
    if (Shift(c) != 0) return false;
  }
  return true;
}

bool BatchNormFunction::ScaleIsNotNegative(std::size_t first, std::size_t count) const noexcept {
  return std::all_of(scale.begin() + static_cast<std::ptrdiff_t>(first),
                     scale.begin() + static_cast<std::ptrdiff_t>(first + count),
                     [](double s) { return s >= 0; });
}

double BatchNormFunction::ErrorBound(Dtype dtype) const {
  // Rounding gamma, beta, variance + epsilon, its root, and four operations on x.
  constexpr double kRoundings = 8;
  double largest = 0;
  for (std::size_t c = 0; c < channels(); ++c) {
    largest =
        std::max(largest, std::fabs(scale[c]) * (1 + std::fabs(mean[c])) + std::fabs(beta[c]));
  }
  return kRoundings * UnitRoundoff(dtype) * largest;
}

void BatchNormFunction::Append(const BatchNormFunction& next, std::size_t first_channel,
                               bool adds_shift) {
  for (std::size_t c = 0; c < channels(); ++c) {
    const double factor = next.scale[first_channel + c];
    gamma[c] *= factor;
    scale[c] *= factor;
    beta[c] = adds_shift
                  ? (beta[c] - next.mean[first_channel + c]) * factor + next.beta[first_channel + c]
                  : beta[c] * factor;
  }
}

Result<BatchNormFunction> ReadBatchNormFunction(const Checkpoint& checkpoint,
                                                const BatchNorm& batch_norm,
                                                const FoldOptions& options,
                                                std::vector<std::string>& notes) {
  CKPT_RETURN_IF_ERROR(CheckRecord(checkpoint.manifest(), batch_norm, options));
  CKPT_ASSIGN_OR_RETURN(BatchNormValues values, ReadValues(checkpoint, batch_norm));
  CKPT_RETURN_IF_ERROR(CheckValues(values));

  BatchNormFunction function;
  function.scale = EffectiveScaleShift(values).scale;
  function.gamma = values.gamma;
  function.mean = std::move(values.mean);
  function.beta = std::move(values.beta);
  for (std::size_t c = 0; c < function.channels(); ++c) {
    if (IsNotFinite(function.scale[c]) || IsNotFinite(function.Shift(c))) {
      return Refuse("gamma / sqrt(variance + epsilon) overflows in channel " + std::to_string(c));
    }
  }
  NoteValues(batch_norm.scope, values, notes);
  return function;
}

Result<BatchNormFunction> ReadScaleFunction(const Checkpoint& checkpoint, const BatchNorm& scale) {
  CKPT_RETURN_IF_ERROR(CheckVectors(checkpoint.manifest(), scale));
  if (*scale.channels > kMaxChannels) {
    return Refuse("it has " + std::to_string(*scale.channels) + " channels");
  }
  BatchNormValues values;
  CKPT_ASSIGN_OR_RETURN(values.gamma, ReadDoubles(checkpoint, *scale.gamma, *scale.channels));
  CKPT_ASSIGN_OR_RETURN(values.beta, ReadDoubles(checkpoint, *scale.beta, *scale.channels));
  if (values.gamma.size() != values.beta.size()) return Refuse("its tensors differ in size");
  CKPT_RETURN_IF_ERROR(CheckValues(values));
  BatchNormFunction function;
  function.mean.assign(values.gamma.size(), 0);
  function.gamma = function.scale = std::move(values.gamma);
  function.beta = std::move(values.beta);
  return function;
}

}  // namespace ckpt
