// Sets of torch.save files with an index: pytorch_model.bin.index.json, as Hugging Face's
// transformers writes them.
#pragma once

#include <filesystem>
#include <memory>

#include "ckpt/formats/format.h"
#include "formats/container/file.h"

namespace ckpt::formats {

// A shard that is absent or damaged is a problem of its tensors; what the index and a shard say
// differently of a name is one too.
Result<std::unique_ptr<Checkpoint>> OpenTorchShards(const Files& files,
                                                    const RandomAccessFile& index,
                                                    const std::filesystem::path& path,
                                                    const Limits& limits);

}  // namespace ckpt::formats
