// Rectifiers that are cut off elsewhere yield the same as long as no value gets there.
#pragma once

#include "verification/reference_side.h"
#include "verification/walked_values.h"

namespace ckpt {

// Where operation `index` of B and the operation that makes `twin` in A are rectifiers that stand
// alone, and are other functions somewhere: two values of theirs that show it.
std::optional<StepDifference> UnseenDifference(const ReferenceSide& a, const WalkedValues& b,
                                               std::size_t index, network::ValueId twin);

// A function that passes positive factors on: a fold may move one through it.
bool PassesFactors(const network::Unary& unary);

}  // namespace ckpt
