// Random numbers that a serving graph draws for every request, as a dropout that stays active does.
#pragma once

#include <string>
#include <vector>

#include "ckpt/op_bodies.h"

namespace ckpt {

// A sentence for dropouts, and one for other random numbers, with the operations named; functions
// included. Empty where nothing is random.
std::vector<std::string> TellRandomness(const OpBodies& bodies);

}  // namespace ckpt
