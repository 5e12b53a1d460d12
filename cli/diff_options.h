// What counts as a difference, as options.
#pragma once

#include "ckpt/diff.h"

namespace CLI {
class App;
}

namespace ckpt::cli {

// --rtol, --atol, --only, --ignore, --ignore-training-state, --bytes.
void AddDiffOptions(CLI::App& app, DiffOptions& diff);

}  // namespace ckpt::cli
