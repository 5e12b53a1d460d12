// PyTorch's checkpoints: what torch.save and torch.jit.save write.
//
// Read: zip archives (since 1.6), the stream of pickles before, sharded sets with their index. The
// pickle is interpreted and never executed (pickle_reader.h); tensors are what known functions
// would rebuild (tensor_view.h); every other class or function is an inert name, which the
// manifest's note lists. What is not read and said so: the tar files before 0.1.10, sparse and
// nested tensors, tensors without data.
//
// Written: a state dict as torch.save writes one, which torch.load reads with weights_only=True and
// with mmap=True: plain tensors in one archive, each with a storage of its own.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "ckpt/formats/format.h"
#include "formats/container/file.h"

namespace ckpt::formats {

// kCertain for a zip with a data.pkl, the legacy magic number, and an index of .bin shards.
Match ProbeTorch(const ProbeInput& input);

// The file of a folder that transformers' save_pretrained wrote with torch.save.
Result<std::optional<ResolvedPath>> ResolveTorch(const Files& files, const std::string& path);

Result<std::unique_ptr<Checkpoint>> OpenTorch(const Files& files, const std::filesystem::path& path,
                                              const Limits& limits);

// An archive with the top folder "archive": an OrderedDict of all tensors in the order of their
// names, with the `_metadata` of the modules where model.metadata has it. Records are stored, their
// bytes at multiples of 64. The same model gives the same bytes.
Result<WriteSummary> WriteTorch(AtomicOutput& output, const std::filesystem::path& path,
                                const OutputModel& model, const WriteOptions& options);
Status CanHoldTorch(const TensorInfo& tensor);

}  // namespace ckpt::formats
