// Writes a sharded set of Keras 3 weights: NAME.weights.json and NAME_00000.weights.h5, ...
#pragma once

#include <filesystem>

#include "ckpt/formats/format.h"
#include "formats/keras/variables/variable_output.h"

namespace ckpt::formats::keras {

inline constexpr std::string_view kSetSuffix = ".weights.json";

// A shard is begun where the next variable would take the one before it above
// options.shard_bytes. Shards of an older, larger set of the same name do not stay behind.
// REQUIRES: `path` ends with kSetSuffix.
Result<WriteSummary> WriteShards(AtomicOutput& output, const std::filesystem::path& path,
                                 const OutputModel& model, const VariableOutput& planned,
                                 const WriteOptions& options);

}  // namespace ckpt::formats::keras
