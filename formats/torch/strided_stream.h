// Streams a strided view of a storage in C order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "ckpt/tensor.h"

namespace ckpt::formats {

// Is the view one run of bytes in C order?
bool IsContiguous(const Shape& shape, std::span<const std::int64_t> strides);

// Fills all of `out` from byte `offset` of the storage.
using ReadStorage = std::function<Status(std::uint64_t offset, std::span<std::byte> out)>;

// Holds some 64 MiB at most. Strides and offset are in elements; every element must lie within what
// `read` can read. REQUIRES: shape.element_count() > 0.
std::unique_ptr<TensorStream> GatherStrided(ReadStorage read, const Shape& shape,
                                            std::vector<std::int64_t> strides, std::uint64_t offset,
                                            std::size_t element_bytes);

}  // namespace ckpt::formats
