// Turns the stored strings of NumPy arrays into what a TensorStream yields: with their lengths.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

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

}  // namespace ckpt::formats
