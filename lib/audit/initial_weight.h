// The weight that the initial values still have in moving statistics.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "audit/rules.h"
#include "audit/update_count.h"

namespace ckpt::audit {

inline constexpr double kSlightWeight = 0.01;  // below this it is no matter

struct InitialWeight {
  double weight;  // decay^n in an average that was updated n times
  UpdateCount count;
  SourcedNumber decay;
};

// One entry for each batch norm; nothing where no decay or no count is known, where the layer was
// calibrated, is initial throughout, or where the values refute the count.
std::vector<std::optional<InitialWeight>> InitialWeights(const Subject& subject);
// Of one batch norm by itself: nothing where no decay or no count is known, where it is initial
// throughout, or where its own values refute the count.
std::optional<double> InitialShare(const Subject& subject, std::size_t layer);

}  // namespace ckpt::audit
