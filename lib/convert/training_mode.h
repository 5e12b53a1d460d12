// Batch norms that normalise with the statistics of their batch wherever the input is served: what
// a conversion makes of them. See "Training mode" in docs/folding.md.
#pragma once

#include "ckpt/convert.h"

namespace ckpt {

// Before anything is planned. kUnfit where the output holds the network or a fold is asked for, and
// the user did not say that it may compute something else; and where he did and a layer has nothing
// to close it with.
Status CheckTrainingMode(const Manifest& manifest, const Analysis& analysis,
                         const ConvertOptions& options);

// After the fold of a plan, which took the layers for closed. With the user's word: fills `changed`
// and the edits; without it, says in a note what is written unchanged.
// REQUIRES: CheckTrainingMode() found nothing against it.
void SettleTrainingMode(const Manifest& manifest, const Analysis& analysis,
                        const ConvertOptions& options, ConversionPlan& plan);

}  // namespace ckpt
