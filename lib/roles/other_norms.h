// Normalisations that keep tensors of the names of a batch norm's and compute something else.
#pragma once

#include "roles/named_scopes.h"
#include "roles/training_state.h"

namespace ckpt {

// The tensors of the scope are those of a switchable norm, of EvoNorm, of a batch norm of complex
// numbers, or of e3nn's norm of irreducible representations.
bool HasOtherNormsTensors(const Manifest& manifest, const NameIndex& names,
                          const NamedScope& scope);

}  // namespace ckpt
