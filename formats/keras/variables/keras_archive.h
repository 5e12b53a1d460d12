// Keras 3 archives ".keras": a zip of the model's config and its weights.
//
//   metadata.json       {"keras_version": "3.15.1", "date_saved": "..."}
//   config.json         the model as one serialised object
//   model.weights.h5    the layout of variable_groups.h
//   assets/...          files of layers that have some (vocabularies)
//
// The config is data: nothing in it is run, whatever its classes are.
//
// Source: keras/src/saving/saving_lib.py.
#pragma once

#include <filesystem>
#include <memory>

#include "ckpt/formats/format.h"
#include "formats/container/file.h"

namespace ckpt::formats {

// kCertain for a zip that shows config.json and the weights.
Match ProbeKerasArchive(const ProbeInput& input);

// Weights that are deflated are inflated to a file without a name on the disk of temporary files.
// The graph is absent where the config cannot be understood; metadata["model_config"] says why
// then. documents hold "config.json", "metadata.json", "assets/..." and "variable_layout".
Result<std::unique_ptr<Checkpoint>> OpenKerasArchive(const Files& files,
                                                     const std::filesystem::path& path,
                                                     const Limits& limits);

// model.documents must have the "config.json" and the "variable_layout"; without the optimizer's
// variables that the layout has, the config loses its compile_config. Times of members are
// 1980-01-01. kUnfit, with the tensor, where the config calls for one that the model lacks or has
// no layer for one that it has.
Result<WriteSummary> WriteKerasArchive(AtomicOutput& output, const std::filesystem::path& path,
                                       const OutputModel& model, const WriteOptions& options);

Status CanHoldKerasArchive(const TensorInfo& tensor);

// The documents of `manifest` after `edits`, as variable_layout_rewrite.h says. Takes those of
// weights alone too, whose layout no edit can change (kUnsupported), and those of a whole model in
// the older layout (keras_h5.h): the result has the config only if Keras 3 wrote it. kUnsupported
// where such a model has a layer, with weights, whose order of variables is not known.
Result<std::vector<Document>> RewriteKerasArchive(const Manifest& manifest,
                                                  const GraphEdits& edits);

}  // namespace ckpt::formats
