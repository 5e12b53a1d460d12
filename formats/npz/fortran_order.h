// Arrays stored in Fortran order, as the C order that a TensorStream yields.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>

#include "ckpt/shape.h"
#include "ckpt/tensor.h"

namespace ckpt::formats {

// One index of the first axis must fit here: it is put in order in memory.
inline constexpr std::uint64_t kMaxFortranRow = std::uint64_t{256} << 20;

// The C order of an array whose bytes come in Fortran order. What is larger than a block of 32 MiB
// goes through a file without a name in the folder `scratch`: the data are read once, front to
// back, and written there once, whatever the shape. Memory: two blocks, or two indices of the first
// axis, where that is more. REQUIRES: shape.element_count() > 0, and such an index has at most
// kMaxFortranRow bytes.
std::unique_ptr<TensorStream> GatherFortran(std::unique_ptr<TensorStream> stored,
                                            const Shape& shape, std::size_t item_bytes,
                                            std::filesystem::path scratch);

}  // namespace ckpt::formats
