// Streams a range of a file as it stands, for formats that store tensors little-endian, in C order.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "ckpt/tensor.h"
#include "formats/container/file.h"

namespace ckpt::formats {

// Bytes of one chunk of a stream: a whole number of elements of every dtype, those of 6 bits
// (four in three bytes) and of 16 bytes included.
inline constexpr std::size_t kStreamChunkBytes = std::size_t{3} << 18;

// The `size` bytes at `offset`. Errors name `tensor`. REQUIRES: the range lies within the file.
std::unique_ptr<TensorStream> StreamRange(std::shared_ptr<const RandomAccessFile> file,
                                          std::uint64_t offset, std::uint64_t size,
                                          std::string tensor);

}  // namespace ckpt::formats
