// What the values from before the first update still weigh in moving statistics.
#pragma once

#include <cstddef>
#include <optional>

#include "audit/rules.h"

namespace ckpt::audit {

// decay^n after n updates of an exponential moving average, by the counters and the decay that the
// file or its framework gives; nothing where one of them is not known, or the values refute it.
std::optional<double> InitialShare(const Subject& subject, std::size_t layer);

}  // namespace ckpt::audit
