// Legacy Keras HDF5 files: whole models and weights alone, of every Keras version. Other HDF5 files
// are read as plain named tensors.
//
//   /                       keras_version, backend, model_config (JSON), training_config (JSON)
//   /model_weights          layer_names, backend, keras_version
//   /model_weights/<layer>  weight_names: paths of datasets below this group, in order
//   /model_weights/top_level_model_weights   weight_names
//   /optimizer_weights      weight_names
// A file of weights alone has the content of /model_weights at its root. Lists of names that are
// too long for one attribute are split over "layer_names0", "layer_names1", ...
//
// Source: keras/src/legacy/saving/legacy_h5_format.py of Keras 3 and its predecessors.
#pragma once

#include <filesystem>
#include <memory>
#include <vector>

#include "ckpt/formats/format.h"
#include "formats/container/file.h"

namespace ckpt::formats {

// kCertain for the signature of HDF5 at offset 0, or at 512, 1024, ... as far as can be seen.
Match ProbeKerasH5(const ProbeInput& input);

// The graph is absent where model_config is (weights alone, subclassed models) or cannot be
// understood; metadata["model_config"] says why then. Names that lists mention and the file lacks,
// and datasets of types that are not read, are Problems; datasets in no list are listed by path.
// metadata has "keras_version" and "backend"; documents hold "model_config", "training_config" and
// "weight_order" (weight_order.h), which OutputModel::documents must bring back for the output to
// keep its order. A file of the layout of Keras 3 (keras_weights.h) is opened as that.
Result<std::unique_ptr<Checkpoint>> OpenKerasH5(const Files& files,
                                                const std::filesystem::path& path,
                                                const Limits& limits);

// Weights alone with the config of `model`, a whole one, as a file that holds both. Null where
// `model` has no config of Keras; without a graph where the weights are not those of the config.
Result<std::unique_ptr<Checkpoint>> OpenKerasH5Of(const Files& files,
                                                  const std::filesystem::path& path,
                                                  const Limits& limits, const Manifest& model);

// A whole model where model.documents has a "model_config", else weights alone: in their order
// where there is a "weight_order", else grouped by the names up to their last slash. Tensors of the
// optimizer and training_config are written only together. kUnfit, with the tensor, where the
// config calls for one that the model lacks.
Result<WriteSummary> WriteKerasH5(AtomicOutput& output, const std::filesystem::path& path,
                                  const OutputModel& model, const WriteOptions& options);

Status CanHoldKerasH5(const TensorInfo& tensor);

// The documents of `manifest` after `edits`: removed layers are gone from model_config and their
// consumers read their inputs; layers that gained a bias have use_bias; batch norms that became
// affine have gamma and beta. kUnsupported where the config cannot express it.
Result<std::vector<Document>> RewriteKerasH5(const Manifest& manifest, const GraphEdits& edits);

}  // namespace ckpt::formats
