// Batch norms whose names are numbers within a Sequential, where they have lost their statistics.
#pragma once

#include <cstddef>
#include <vector>

#include "roles/named_scopes.h"

namespace ckpt {

// The scopes that are called by a number, hold a weight and a bias of one length and nothing else,
// and stand behind a convolution with as many outputs (or before one with as many inputs, where
// nothing stands before): "down.1" of "down.0". Empty where a scope names a norm of another kind,
// or one of no kind ("norm1"): the numbers may be of those. A convolution has a kernel of rank 3 or
// more: what follows a Linear is a layer norm as often.
std::vector<std::size_t> NormsBesideConvolutions(const Manifest& manifest,
                                                 const std::vector<NamedScope>& scopes);

}  // namespace ckpt
