// TensorFlow.js layers models: model.json with a Keras config and a list of weights, and the files
// beside it that hold their bytes.
//
// - Quantised weights are read as what they stand for: value * scale + min.
// - The files of a group are one sequence of bytes; weights are cut across them. Where one of the
//   files is absent, all weights of its group are.
// - Graph models ("format": "graph-model") are refused: they hold a GraphDef.
//
// Source: tensorflow/tfjs, tfjs-core/src/io/types.ts, io_utils.ts.
#pragma once

#include <filesystem>
#include <memory>

#include "ckpt/formats/format.h"
#include "formats/container/file.h"

namespace ckpt::formats {

// kCertain for a JSON object that begins with keys of a model.json.
Match ProbeTfjs(const ProbeInput& input);

Result<std::unique_ptr<Checkpoint>> OpenTfjs(const Files& files, const std::filesystem::path& path,
                                             const Limits& limits);

}  // namespace ckpt::formats
