// Bounds on HDF5 files that are not left to Limits.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ckpt::formats {

inline constexpr std::size_t kHdf5Depth = 256;  // of groups in groups
// An element larger than this is not read; it has to fit the memory shared with the child.
inline constexpr std::size_t kHdf5ElementBytes = std::size_t{1} << 20;
// A dataset may declare elements that are not stored: they are the fill value. That many bytes are
// read as such, and beyond that as many as DEFLATE could have made of what is stored: it encodes at
// most 258 bytes in 2 bits.
inline constexpr std::uint64_t kHdf5FillBytes = std::uint64_t{1} << 20;
inline constexpr std::uint64_t kHdf5MaxGain = 1032;
// The part of the child's memory that decoded chunks of one dataset may take, and how many datasets
// it keeps open for streams that take turns.
inline constexpr std::uint64_t kHdf5ChunkShare = 8;
inline constexpr std::size_t kHdf5OpenDatasets = 2;

}  // namespace ckpt::formats
