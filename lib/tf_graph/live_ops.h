// What runs for some outputs, with conditionals decided where their predicate is known.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "ckpt/op_training.h"

namespace ckpt::tf_graph {

// What boolean placeholders without a default are taken to be.
enum class PhaseValue : std::uint8_t { kUnknown, kFalse, kTrue };

// A boolean that is constant: a Const, a placeholder's default, or a negation of one.
std::optional<bool> KnownBoolean(const OpBodies& bodies, OpValue value, PhaseValue phase);
// Is the operation a placeholder of booleans?
bool IsBooleanPlaceholder(const Op& op);

// The operations that run for `outputs`. The branches of Switch, Merge, If and Select that a known
// predicate rules out are left out. Linear in the graph's size.
OpSet LiveOps(const OpBodies& bodies, const std::vector<OpRef>& outputs, PhaseValue phase);

}  // namespace ckpt::tf_graph
