// The stream that torch.save wrote before PyTorch 1.6 (torch/serialization.py, _legacy_save):
//
//   pickle: the magic number     pickle: protocol 1001     pickle: byte order and sizes of the host
//   pickle: the object; storages are persistent ids with a KEY
//   pickle: the list of KEYs
//   { i64 number of elements | the elements, little-endian } for each of these keys
#pragma once

#include <memory>
#include <span>

#include "ckpt/formats/format.h"
#include "formats/container/file.h"

namespace ckpt::formats {

// Does the file start with the pickled magic number?
bool StartsLikeLegacyTorch(std::span<const std::byte> head) noexcept;

// A file that ends early is read as far as it goes: the storages that are cut off are problems.
Result<std::unique_ptr<Checkpoint>> OpenLegacyTorch(std::shared_ptr<const RandomAccessFile> file,
                                                    const Limits& limits);

}  // namespace ckpt::formats
