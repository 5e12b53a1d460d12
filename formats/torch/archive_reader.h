// The zip archives of torch.save (since PyTorch 1.6) and torch.jit.save.
//
//   NAME/data.pkl         the pickle; storages are persistent ids with a KEY
//   NAME/data/KEY         one storage each, stored
//   NAME/byteorder        "little" or "big"; older files have none and are little-endian
//   NAME/version, ...     numbers
//   NAME/constants.pkl    TorchScript alone: a tuple of tensors, storages in NAME/constants/KEY
//   NAME/code/...         TorchScript alone: its source text, of which constants are read
#pragma once

#include <memory>

#include "ckpt/formats/format.h"
#include "formats/container/file.h"

namespace ckpt::formats {

Result<std::unique_ptr<Checkpoint>> OpenTorchArchive(std::shared_ptr<const RandomAccessFile> file,
                                                     const Limits& limits);

}  // namespace ckpt::formats
