// Arrays as NumPy pickles them. Their bytes stand in the pickle itself.
//
//   numpy.core.multiarray._reconstruct(numpy.ndarray, (0,), b'b')
//       with the state (version, shape, dtype, is_fortran, bytes)
//   numpy.core.numeric._frombuffer(bytes, dtype, shape, order)     protocol 5
//
// Protocols up to 2 have no bytes: _codecs.encode(text, 'latin1') stands for them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "ckpt/dtype.h"
#include "ckpt/result.h"
#include "ckpt/shape.h"
#include "formats/torch/pickle_graph.h"

namespace ckpt::formats {

struct NumpyArray {
  Dtype dtype = Dtype::kF32;
  unsigned element_bytes = 0;
  unsigned swap_bytes = 0;  // the unit that the byte order concerns
  bool big_endian = false;
  bool fortran_order = false;
  Shape shape;
  PickleId bytes = 0;
};

// An array of numbers or booleans. Arrays of objects, texts, dates and records are none here.
bool IsNumpyArray(const PickleGraph& graph, PickleId id);
// Does this name the functions above?
bool IsNumpyFunction(std::string_view name) noexcept;
// kCorrupt where the shape is none. REQUIRES: IsNumpyArray.
Result<NumpyArray> ReadNumpyArray(const PickleGraph& graph, PickleId id);
// Bytes, or what stands for them; nullopt for anything else.
std::optional<std::string> PickledBytes(const PickleGraph& graph, PickleId id);
// The bytes as they stand in the file; kCorrupt where there are not `size` of them.
Result<std::string> NumpyBytes(const PickleGraph& graph, PickleId bytes, std::uint64_t size);

}  // namespace ckpt::formats
