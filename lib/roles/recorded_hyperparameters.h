// Epsilon and momentum that a conversion left in the metadata of its output, where the file's
// framework has no place for them.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "ckpt/batch_norm.h"

namespace ckpt {

// Keys "ckpt.epsilon.SCOPE" and "ckpt.momentum.SCOPE" (the decay); values "0.001 config": the
// number and what it was known from.
std::map<std::string, std::string> HyperparameterRecord(
    const std::string& scope, const std::optional<SourcedNumber>& epsilon,
    const std::optional<SourcedNumber>& momentum);

// What the metadata records for the layer of this scope; nothing where it is no number of its kind
// (epsilon >= 0, momentum in [0, 1]).
struct RecordedHyperparameters {
  std::optional<SourcedNumber> epsilon, momentum;
};
RecordedHyperparameters RecordedFor(const Manifest& manifest, const std::string& scope);

}  // namespace ckpt
