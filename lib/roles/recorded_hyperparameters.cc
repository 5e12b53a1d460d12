#include "roles/recorded_hyperparameters.h"

#include <charconv>
#include <cmath>
#include <limits>

namespace ckpt {
namespace {

constexpr char kEpsilon[] = "ckpt.epsilon.";
constexpr char kMomentum[] = "ckpt.momentum.";

std::string Text(const SourcedNumber& number) {
  char digits[32];
  const auto end = std::to_chars(digits, digits + sizeof(digits), number.value).ptr;
  return std::string(digits, end) + ' ' + std::string(Name(number.evidence.source));
}

std::optional<SourcedNumber> Find(const Manifest& manifest, const std::string& key, double most) {
  const auto found = manifest.metadata.find(key);
  if (found == manifest.metadata.end()) return std::nullopt;
  const std::string& text = found->second;
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || !std::isfinite(value) || value < 0 || value > most) {
    return std::nullopt;
  }
  const std::string rest(end, text.data() + text.size());
  // What was merely assumed when it was written is no more than that now.
  const bool assumed = rest.ends_with(Name(EvidenceSource::kDefault));
  return SourcedNumber{value,
                       {assumed ? EvidenceSource::kDefault : EvidenceSource::kFrameworkRecord,
                        "metadata \"" + key + "\": " + text}};
}

}  // namespace

std::map<std::string, std::string> HyperparameterRecord(
    const std::string& scope, const std::optional<SourcedNumber>& epsilon,
    const std::optional<SourcedNumber>& momentum) {
  std::map<std::string, std::string> record;
  if (epsilon) record.emplace(kEpsilon + scope, Text(*epsilon));
  if (momentum) record.emplace(kMomentum + scope, Text(*momentum));
  return record;
}

RecordedHyperparameters RecordedFor(const Manifest& manifest, const std::string& scope) {
  return {Find(manifest, kEpsilon + scope, std::numeric_limits<double>::max()),
          Find(manifest, kMomentum + scope, 1)};
}

}  // namespace ckpt
