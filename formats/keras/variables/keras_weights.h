// Keras 3 weights: one file ".weights.h5", or a set ".weights.json" of such files. The layout is
// that of variable_groups.h.
//
//   {"metadata": {"total_size": 1234},
//    "weight_map": {"/layers/conv2d/vars": "model_00000.weights.h5", "/layers/dense/vars": [...]}}
//
// Source: H5IOStore and ShardedH5IOStore in keras/src/saving/saving_lib.py.
#pragma once

#include <filesystem>
#include <memory>
#include <vector>

#include "ckpt/formats/format.h"
#include "formats/container/file.h"
#include "formats/hdf5/hdf5_file.h"

namespace ckpt::formats {

// Of the index of a set. HDF5 files are told apart by what is in them, which OpenKerasH5 does.
Match ProbeKerasWeights(const ProbeInput& input);

// There is no graph: the file does not say how its layers are connected. An absent shard is a
// Problem.
Result<std::unique_ptr<Checkpoint>> OpenKerasWeights(const Files& files,
                                                     const std::filesystem::path& path,
                                                     const Limits& limits);

// With the config of `model`, a whole one, as an archive that holds both. Null where `model` has no
// config of Keras; without a graph where the weights are not those of the config.
Result<std::unique_ptr<Checkpoint>> OpenKerasWeightsOf(const Files& files,
                                                       const std::filesystem::path& path,
                                                       const Limits& limits, const Manifest& model);

// As OpenKerasWeights, of a file that is open and HoldsVariableGroups().
Result<std::unique_ptr<Checkpoint>> DescribeKerasWeights(std::unique_ptr<Hdf5File> file);

// One file, or a set where `path` ends in ".weights.json", by the "variable_layout" of
// model.documents. kUnfit where there is none, or where a
// layer would get only some of its variables.
Result<WriteSummary> WriteKerasWeights(AtomicOutput& output, const std::filesystem::path& path,
                                       const OutputModel& model, const WriteOptions& options);

Status CanHoldKerasWeights(const TensorInfo& tensor);

}  // namespace ckpt::formats
