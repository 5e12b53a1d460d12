// What holding every step of B against A takes, by shapes alone.
#pragma once

#include "ckpt/execution/run.h"

namespace ckpt {

// Of A's values, so much is kept while B is walked over; the others are computed again.
std::uint64_t KeptBytes(const execution::Budget& budget);

// kLimitExceeded where the budget does not allow the walk, beside what a run of either takes.
Status CheckWalkMemory(const network::Network& a, const execution::Plan& of_a,
                       const network::Network& b, const execution::Plan& of_b,
                       const execution::Budget& budget);

}  // namespace ckpt
