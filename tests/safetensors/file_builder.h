// Safetensors files as literals: a header's text and the data behind it.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "formats/safetensors/safetensors.h"

namespace ckpt::formats {

inline std::string SizePrefix(std::uint64_t size) {
  std::string bytes;
  for (unsigned shift = 0; shift < 64; shift += 8) {
    bytes += static_cast<char>((size >> shift) & 0xFF);
  }
  return bytes;
}

inline std::string FileOf(std::string_view header, std::string_view data = {}) {
  return SizePrefix(header.size()) + std::string(header) + std::string(data);
}

inline Result<std::unique_ptr<Checkpoint>> OpenBytes(std::string_view bytes,
                                                     const Limits& limits = {}) {
  MemoryFiles files;
  files.Add("m.safetensors", bytes);
  return OpenSafetensors(files, "m.safetensors", limits);
}

}  // namespace ckpt::formats
