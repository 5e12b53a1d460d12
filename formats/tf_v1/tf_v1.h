// TensorFlow V1 checkpoints: one table with everything in it, or a set PREFIX-00000-of-00002, ...
// Read only: no TensorFlow since 1.0 writes them unless it is asked to.
//
// What the manifest says:
// - Partitioned tensors are one tensor each, also where their slices are in several files.
// - Opening reads every file once, which checks every checksum; blocks are taken into memory one at
//   a time, and a block is as large as its largest tensor.
// - A file of the set that is absent is a problem; nothing tells which tensors were in it, but for
//   those of which other files hold slices.
#pragma once

#include <filesystem>
#include <memory>

#include "ckpt/formats/format.h"
#include "formats/container/file.h"

namespace ckpt::formats {

Match ProbeTfV1(const ProbeInput& input);

// `path` is the file, or one of the set. `files` must outlive the checkpoint.
Result<std::unique_ptr<Checkpoint>> OpenTfV1(const Files& files, const std::filesystem::path& path,
                                             const Limits& limits);

}  // namespace ckpt::formats
