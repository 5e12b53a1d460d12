// What `ckpt verify` does with a file's network.
#pragma once

#include "ckpt/checkpoint.h"

namespace ckpt::fuzz {

// Runs the network of the checkpoint, as far as it has one, and holds it against itself, under
// limits that a mutant exhausts in moments. Ends the program where it is said to be different from
// itself, where an error has no words, and where one is internal.
void JudgeNetwork(const Checkpoint& checkpoint);

}  // namespace ckpt::fuzz
