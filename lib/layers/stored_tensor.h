// A tensor of the file as an operation reads it: straight, or through changes of shape.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "layers/value_uses.h"

namespace ckpt {

struct StoredTensor {
  TensorId tensor = {};
  network::Sizes shape = {};  // as it is read
  network::Sizes stored_shape = {};
  bool transposed = false;  // two axes, read the other way round
  bool reshaped = false;    // read under another shape, in an operation of its own
  bool recast = false;      // the record itself reads it under another shape than the file's
  bool filled = false;      // one number, read as one for each element of the shape
  double factor = 1;        // what it is multiplied with on the way
  // Layers that the tensor passes through, from the one that reads it itself on.
  std::vector<std::uint32_t> layers = {};
  bool own = true;  // nothing else reads what those yield

  std::uint64_t count() const;
  // All sizes but one, at most, are 1.
  bool IsVector() const;
  // One of so many elements for each place along `axis` of data with that shape, all its own.
  bool IsAlong(std::int64_t axis, const network::PartialShape& data, std::uint64_t elements) const;
  // Of a vector: the axes behind the one that is not 1; absent where all are 1.
  std::optional<std::size_t> AxesBehind() const;
};

// Absent where the value is no stored tensor, or one that is computed with.
std::optional<StoredTensor> FindStoredTensor(const ValueUses& uses, network::ValueId id);

}  // namespace ckpt
