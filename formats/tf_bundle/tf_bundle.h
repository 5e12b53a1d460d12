// TensorFlow V2 checkpoints, "tensor bundles": PREFIX.index and PREFIX.data-00000-of-00001, ...
//
// The index is a table (table_format.h) of the tensors' entries; the shards hold their bytes one
// after another. Source: TensorFlow, core/util/tensor_bundle/tensor_bundle.{h,cc} and
// core/protobuf/tensor_bundle.proto.
//
// What the manifest says:
// - Partitioned tensors are one tensor each.
// - `checksum` is given for tensors that are stored whole, little-endian and not as strings: equal
//   checksums then mean equal bytes. Whatever is read is checked against the stored checksums.
// - A shard that is absent, unsafe or too short is one of the problems; the tensors in it are
// listed
//   and cannot be opened.
// - `name` follows the object graph where there is one (object_names.h).
// - Variants and resources are listed only.
#pragma once

#include <filesystem>
#include <memory>

#include "ckpt/formats/format.h"
#include "formats/container/file.h"

namespace ckpt::formats {

Match ProbeTfBundle(const ProbeInput& input);

// `path` is the prefix, or that with ".index"; see checkpoint_state.h for what else people name.
// `files` must outlive the checkpoint.
Result<std::unique_ptr<Checkpoint>> OpenTfBundle(const Files& files,
                                                 const std::filesystem::path& path,
                                                 const Limits& limits);

// kUnsupported for element types that TensorFlow does not have or cannot save, and for names that a
// bundle gives another meaning.
Status TfBundleCanHold(const TensorInfo& tensor);

// Writes `path`.data-00000-of-00001 and `path`.index ("path" may end in ".index"), the index last.
// Names become keys as they are, so a checkpoint of objects becomes one of plain names. A
// `checkpoint` state file is neither written nor changed: it belongs to the training run. Data
// shards of an older output that had more of them are removed where `output` replaces.
Result<WriteSummary> WriteTfBundle(AtomicOutput& output, const std::filesystem::path& path,
                                   const OutputModel& model, const WriteOptions& options);
// `output` is a prefix, or the index.
std::filesystem::path TfBundleMarker(const std::string& output);

}  // namespace ckpt::formats
