// Flax checkpoints: what flax.serialization.to_bytes writes (flax_model.msgpack, checkpoint_500).
//
// One MessagePack map, nested; leaves are numbers or extension types: 1 is an array, an
// array(3) of shape, dtype name and bytes; 2 a complex number; 3 a NumPy scalar, written as an
// array. Arrays above 1 GiB come as a map of chunks. Source: flax, serialization.py.
//
// What the manifest says:
// - `name` is the path below its collection, so that a batch norm's parts meet: "params/bn/scale"
//   and "batch_stats/bn/mean" become bn/scale and bn/mean. What else stands in a train state
//   (step, opt_state/...) keeps its path.
// - Tensors of `params` are recorded as trainable, those of `batch_stats` as not.
// - There is no checksum.
#pragma once

#include <filesystem>
#include <memory>

#include "ckpt/formats/format.h"
#include "formats/container/file.h"

namespace ckpt::formats {

// kCertain where the first leaf is an array as Flax writes it.
Match ProbeFlax(const ProbeInput& input);

Result<std::unique_ptr<Checkpoint>> OpenFlax(const Files& files, const std::filesystem::path& path,
                                             const Limits& limits);

}  // namespace ckpt::formats
