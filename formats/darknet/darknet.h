// Darknet: NAME.weights, which is numbers only, and NAME.cfg beside it, which says what they are.
//
//   header = major, minor, revision (i32 each), images seen (u64 from version 0.2 on, before i32)
//   then for each layer of the cfg, float32, little-endian:
//   convolutional  biases; scales, rolling_mean, rolling_variance if batch_normalize; weights
//   connected      biases, weights; scales, rolling_mean, rolling_variance if batch_normalize
//   batchnorm      scales, rolling_mean, rolling_variance; AlexeyAB's fork puts biases before them
//   shortcut       weights if it has weights_type (AlexeyAB)
//
// What the manifest says:
// - Names are the layer's place in the cfg and its kind, then Darknet's own word:
//   "000_convolutional/rolling_mean". A bias of a layer with batch norm is its beta.
// - The graph is from the cfg. Epsilon is 1e-5 inside the root, as everywhere but in the CPU code
//   of pjreddie's fork, which adds 1e-6 to the root; the metadata say so.
// - A file that is longer or shorter than the cfg says is refused, but for one that ends exactly
//   behind a layer: that is how backbones are passed on (yolov3.conv.81). The layers behind it are
//   then listed as absent.
//
// Source: pjreddie/darknet and AlexeyAB/darknet, src/parser.c.
#pragma once

#include <filesystem>
#include <memory>

#include "ckpt/formats/format.h"
#include "formats/container/file.h"

namespace ckpt::formats {

// kCertain for a .cfg that begins with a [net] section, kLikely for a .weights file with a header.
Match ProbeDarknet(const ProbeInput& input);

// `path` is either of the two; the other is looked for beside it under the same stem.
Result<std::unique_ptr<Checkpoint>> OpenDarknet(const Files& files,
                                                const std::filesystem::path& path,
                                                const Limits& limits);

}  // namespace ckpt::formats
