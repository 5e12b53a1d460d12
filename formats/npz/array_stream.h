// Turns the stored bytes of NumPy arrays into what a TensorStream yields: little-endian, C order,
// strings with their lengths.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "ckpt/shape.h"
#include "ckpt/tensor.h"

namespace ckpt::formats {

struct NpyText {
  std::uint64_t item_bytes;  // of one element; kMaxTextItem at most, not 0
  bool ucs4;                 // characters of four bytes, else bytes
  bool big_endian;           // of ucs4
};
inline constexpr std::uint64_t kMaxTextItem = std::uint64_t{1} << 20;

// Elements without their padding, text as UTF-8. kCorrupt, naming `tensor`, for code points that
// Unicode does not have.
std::unique_ptr<TensorStream> DecodeText(std::unique_ptr<TensorStream> raw, const NpyText& text,
                                         std::string tensor);

// Reads `out.size()` bytes at an offset from the start of an array's data.
using ReadAtOffset = std::function<Status(std::uint64_t offset, std::span<std::byte> out)>;

// One index of the first axis must fit here: it is gathered in memory.
inline constexpr std::uint64_t kMaxFortranRow = std::uint64_t{256} << 20;

// The C order of an array stored in Fortran order, gathered in blocks of some 32 MiB (or one index
// of the first axis, where that is more). REQUIRES: shape.element_count() > 0, and such an index
// has at most kMaxFortranRow bytes.
std::unique_ptr<TensorStream> GatherFortran(ReadAtOffset read, const Shape& shape,
                                            std::size_t item_bytes);

}  // namespace ckpt::formats
