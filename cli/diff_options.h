// What counts as a difference, as options.
#pragma once

#include "ckpt/diff.h"
#include "cli/arguments.h"

namespace ckpt::cli {

// --rtol, --atol, --only, --ignore, --ignore-training-state, --bytes.
void AddDiffOptions(Arguments& app, DiffOptions& diff);

}  // namespace ckpt::cli
