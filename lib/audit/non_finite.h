// Counting NaN and infinity in stored elements, at the speed of memory for the common types.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "ckpt/dtype.h"
#include "core/vector_target.h"

namespace ckpt::audit {

// True for the types that can hold NaN or infinity and that CountNonFinite knows.
bool CanBeNonFinite(Dtype dtype) noexcept;

// How many elements of the little-endian `bytes` are NaN or infinite; complex ones by their two
// parts. REQUIRES: CanBeNonFinite(dtype), a whole number of elements; `set` is no better than
// BestVectorSet().
std::uint64_t CountNonFinite(Dtype dtype, std::span<const std::byte> bytes,
                             VectorSet set = BestVectorSet());

// The type of the parts that `dtype` is made of: float32 for complex64, itself for a real type.
Dtype PartType(Dtype dtype) noexcept;

}  // namespace ckpt::audit
