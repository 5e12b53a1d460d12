// Tells statistics that were multiplied into gamma and beta on purpose from ones never updated.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "audit/rules.h"

namespace ckpt::audit {

// For layers with mean 0 and variance 1 throughout: what shows that gamma and beta hold absorbed
// statistics ("gamma differs 64-fold between layers"), or nothing if too little does.
//
// Absorbed, gamma is gamma' / sqrt(variance): its size follows the scale of the activations, which
// differs by orders of magnitude between layers. A trained gamma keeps near 1 or, under weight
// decay, shrinks alike in all layers.
std::string SignsOfAbsorbing(const Subject& subject, std::span<const std::size_t> layers);

}  // namespace ckpt::audit
