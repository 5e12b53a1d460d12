// The header of one safetensors file, checked in full: after it every range is known to be sound.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "ckpt/dtype.h"
#include "ckpt/formats/format.h"
#include "ckpt/shape.h"
#include "formats/container/file.h"

namespace ckpt::formats {

// The format's own bound on N.
inline constexpr std::uint64_t kMaxSafetensorsHeader = 100'000'000;

struct HeaderTensor {
  std::string name;
  Dtype dtype = Dtype::kF32;
  Shape shape;
  std::uint64_t begin = 0, end = 0;  // from the start of the data
  std::uint64_t key_offset = 0;      // of its name's opening quote in the file
};

struct SafetensorsHeader {
  std::vector<HeaderTensor> tensors;  // sorted by name
  std::map<std::string, std::string> metadata;
  std::uint64_t data_start = 0;  // offset of the data in the file
};

// Errors carry the offset of the header's item, or of the data where the ranges are at fault.
Result<SafetensorsHeader> ReadSafetensorsHeader(const RandomAccessFile& file, const Limits& limits);

}  // namespace ckpt::formats
