// What moved in one batch norm from one checkpoint to the next.
#pragma once

#include "audit/checkpoint_change.h"
#include "audit/layer_values.h"
#include "audit/rules.h"
#include "ckpt/trend.h"

namespace ckpt::trend {

// Layer `layer` of the subject; `change` is null in the first checkpoint of a run.
NormAtStep StepOf(const audit::Subject& subject, std::size_t layer,
                  audit::CheckpointChange* change);

}  // namespace ckpt::trend
