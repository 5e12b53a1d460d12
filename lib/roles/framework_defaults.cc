#include "roles/framework_defaults.h"

#include <array>
#include <charconv>

#include "roles/scope_words.h"

namespace ckpt {
namespace {

using Version = std::array<int, 3>;

std::optional<Version> ParseVersion(std::string_view text) {
  Version version = {0, 0, 0};
  for (std::size_t part = 0; part < version.size(); ++part) {
    const auto [end, error] =
        std::from_chars(text.data(), text.data() + text.size(), version[part]);
    if (error != std::errc()) return part == 0 ? std::nullopt : std::optional(version);
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    if (text.empty() || text[0] != '.') break;
    text.remove_prefix(1);
  }
  return version;
}

// The releases in which Keras changed the defaults of BatchNormalization.
Hyperparameters KerasDefaults(const Version& version, std::string detail) {
  if (version >= Version{1, 2, 0}) return {1e-3, 0.99, std::move(detail)};
  if (version >= Version{1, 0, 8}) return {1e-5, 0.99, std::move(detail)};
  if (version >= Version{1, 0, 7}) return {1e-6, 0.99, std::move(detail)};
  return {1e-6, 0.9, std::move(detail)};
}

std::optional<Hyperparameters> OfKeras(const Manifest& manifest,
                                       const BatchNormConvention& convention) {
  if (const auto version = ParseVersion(manifest.framework_version)) {
    return KerasDefaults(*version, "default of Keras " + manifest.framework_version);
  }
  // The names came with Keras 2, whose defaults never changed.
  if (convention.mean == "moving_mean") return Hyperparameters{1e-3, 0.99, "default of Keras 2"};
  return std::nullopt;
}

// Names that tf.layers and slim give a layer by themselves, or an object that the file records.
std::optional<Hyperparameters> OfTensorFlowLayers(const Manifest& manifest,
                                                  const BatchNorm& batch_norm) {
  if (batch_norm.moving_variance &&
      manifest.tensors[batch_norm.moving_variance->index].local_name == "moving_variance") {
    return Hyperparameters{1e-3, 0.99, "default of Keras"};
  }
  const std::string_view last = WithoutNumber(Components(batch_norm.scope).back());
  if (last == "batch_normalization") {
    return Hyperparameters{1e-3, 0.99, "default of tf.layers and Keras"};
  }
  if (last == "BatchNorm") return Hyperparameters{1e-3, 0.999, "default of slim"};
  return std::nullopt;
}

bool AreHeld(const ConventionDefaults& defaults, const Manifest& manifest, const BatchNorm& norm) {
  switch (defaults.hold) {
    case ConventionDefaults::Hold::kAlways:
      return true;
    case ConventionDefaults::Hold::kBesideABatchCounter:
      return norm.batch_counter.has_value();
    case ConventionDefaults::Hold::kInFlaxCollections:
      return norm.moving_variance &&
             (manifest.framework == Framework::kFlax ||
              Components(manifest.tensors[norm.moving_variance->index].name).front() ==
                  "batch_stats");
  }
  return false;
}

}  // namespace

std::optional<Hyperparameters> FrameworkDefaults(const Manifest& manifest,
                                                 const BatchNormConvention& convention,
                                                 const BatchNorm& batch_norm) {
  if (manifest.framework == Framework::kKeras) return OfKeras(manifest, convention);
  if (convention.mean == "moving_mean" && convention.variance == "moving_variance") {
    return OfTensorFlowLayers(manifest, batch_norm);
  }
  const auto& defaults = convention.defaults;
  if (!defaults || !AreHeld(*defaults, manifest, batch_norm)) return std::nullopt;
  return Hyperparameters{defaults->epsilon, defaults->decay,
                         "default of " + std::string(defaults->whose)};
}

SpreadKind KerasOneSpread(const Manifest& manifest) {
  const auto version = ParseVersion(manifest.framework_version);
  const bool deviation = manifest.framework == Framework::kKeras && version.has_value() &&
                         *version <= Version{1, 0, 5};
  return deviation ? SpreadKind::kStandardDeviation : SpreadKind::kVariance;
}

}  // namespace ckpt
