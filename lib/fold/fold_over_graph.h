// Folds where the graph of the model shows that it is exact: into what feeds a batch norm, else
// into what reads it, else into a batch norm before it that stays.
#pragma once

#include "fold/fold_context.h"

namespace ckpt {

// REQUIRES: the manifest has a graph; the functions were read. Fails on read errors only.
Status FoldOverGraph(FoldContext& context);

}  // namespace ckpt
