// CRC-32C (Castagnoli, as in TensorFlow bundles) and CRC-32 (IEEE, as in zip), by ISA-L.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace ckpt::formats {

// The checksum of what came before (`seed`, 0 at the start) followed by `bytes`.
std::uint32_t Crc32c(std::span<const std::byte> bytes, std::uint32_t seed = 0) noexcept;
std::uint32_t Crc32(std::span<const std::byte> bytes, std::uint32_t seed = 0) noexcept;

// leveldb's and TensorFlow's masking of stored CRCs: rotate right by 15 bits and add a constant.
constexpr std::uint32_t MaskCrc(std::uint32_t crc) noexcept {
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8U;
}
constexpr std::uint32_t UnmaskCrc(std::uint32_t masked) noexcept {
  const std::uint32_t rotated = masked - 0xa282ead8U;
  return (rotated >> 17) | (rotated << 15);
}

}  // namespace ckpt::formats
