// Folds in files that have names only: where nesting fixes what feeds what, or where the user says.
#pragma once

#include "fold/fold_context.h"

namespace ckpt {

// Reads the functions, too: a user's pair may settle an epsilon. Fails on read errors and where the
// user's pairs contradict the file.
Status FoldByNames(FoldContext& context);

}  // namespace ckpt
