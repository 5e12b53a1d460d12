// Bytes at a place of an open file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace ckpt::formats {

// Writes all of them at `offset`. 0, or the number of the system's error; ENOSPC where the system
// takes none and says nothing.
int WriteAllAt(int descriptor, std::span<const std::byte> bytes, std::uint64_t offset) noexcept;

}  // namespace ckpt::formats
