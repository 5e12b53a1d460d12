// The safetensors format (https://github.com/huggingface/safetensors), one file or a sharded set.
//
//   u64 N, little-endian | N bytes of JSON, space-padded | tensor data
//   JSON: {"__metadata__": {string: string},
//          name: {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, ...}
//
// Offsets count from the end of the header; the tensors cover the data without gap or overlap, in
// any order. Little-endian, C order. Names are kept as stored.
//
// A set is a JSON file, usually model.safetensors.index.json, beside its shards:
//   {"metadata": {"total_size": bytes of all tensors}, "weight_map": {name: shard file}}
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "ckpt/formats/format.h"
#include "formats/container/file.h"

namespace ckpt::formats {

// kCertain for one file whose header starts as it must and for an index that shows its weight_map;
// kLikely by suffix, so that a damaged file is refused with a safetensors message.
Match ProbeSafetensors(const ProbeInput& input);

// One file, or a sharded set where `path` is an index. Fails as a whole where a file contradicts
// the format, where a set names a shard out of its folder (kUnsafe), or where the index itself is
// damaged.
//
// What else can be wrong with a set is a Problem of the manifest and leaves the rest readable:
//   - a shard that is absent (kNotFound) or damaged (its own error): the tensors that the index
//     places in it are listed by name with data_present false, dtype kVoid and shape [], so that
//     an audit can judge by names and nobody can take them for real shapes;
//   - a tensor in the index that its shard does not hold (kCorrupt): listed the same way;
//   - a tensor in a shard that the index does not mention or places elsewhere (kCorrupt): listed
//     and readable unless another shard holds the name by right.
// A total_size that differs from the sum is said in note.
Result<std::unique_ptr<Checkpoint>> OpenSafetensors(const Files& files,
                                                    const std::filesystem::path& path,
                                                    const Limits& limits);

// Writes what the reference implementation would, byte for byte: tensors by falling alignment,
// then by name; header padded to 8 bytes.
Result<WriteSummary> WriteSafetensors(AtomicOutput& output, const std::filesystem::path& path,
                                      const OutputModel& model, const WriteOptions& options);
Status CanHoldSafetensors(const TensorInfo& tensor);

// The file that a folder of safetensors files stands for: model.safetensors.index.json, else the
// only index, else the only .safetensors file; nothing where there is none of them.
// kInvalidArgument, with the names, where several are equally likely.
Result<std::optional<std::string>> ResolveSafetensorsFolder(const Files& files,
                                                            const std::filesystem::path& folder);
// The same as Format::resolve says it.
Result<std::optional<ResolvedPath>> ResolveSafetensors(const Files& files, const std::string& path);

}  // namespace ckpt::formats
