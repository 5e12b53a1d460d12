// Why OUTPUT cannot be what its name or --to says, and the sentence that gets the user on.
#pragma once

#include <string>

#include "ckpt/checkpoint.h"
#include "ckpt/error.h"
#include "ckpt/formats/format.h"

namespace ckpt::cli {

// kInvalidArgument: neither the suffix of `path` nor --to names a format that is written.
Error NoFormatOfOutput(const std::string& path);

// kUnfit: `target` holds a graph of operations or of ONNX, and `source` has none of its kind. Says
// how its framework makes a file that has one.
Error NoGraphForOutput(const Checkpoint& source, const formats::Format& target);

}  // namespace ckpt::cli
