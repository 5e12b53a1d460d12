// Examples for a calibration, as a file.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace ckpt::testing {

// The bytes of a .npy file of float32.
inline std::string NpyOf(const std::vector<std::size_t>& shape) {
  std::string dims;
  std::size_t count = 1;
  for (const std::size_t size : shape) {
    dims += std::to_string(size) + ",";
    count *= size;
  }
  std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (" + dims + ")}";
  header.resize(118, ' ');
  std::string bytes("\x93NUMPY\x01\x00\x76\x00", 10);
  bytes += header;
  for (std::size_t i = 0; i < count; ++i) {
    const float value = static_cast<float>((i * 37 + i * i) % 101) / 50.0F - 1.0F;
    bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  return bytes;
}

}  // namespace ckpt::testing
