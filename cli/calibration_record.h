// What the record beside a calibrated file says of it, where its format has no metadata.
#pragma once

#include <memory>

#include "ckpt/checkpoint.h"

namespace ckpt::cli {

// `checkpoint` with the mark of the record beside it (PATH.ckpt.json, or ckpt.json in a
// SavedModel's assets.extra); itself where there is none, or where it has one of its own.
std::unique_ptr<Checkpoint> WithRecordedMark(std::unique_ptr<Checkpoint> checkpoint);

}  // namespace ckpt::cli
