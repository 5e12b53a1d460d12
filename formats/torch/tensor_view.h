// Tensors as PyTorch pickles them: a view of a storage, by the functions of torch/_utils.py that
// rebuild it. The functions are known by name and never called.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ckpt/dtype.h"
#include "ckpt/error.h"
#include "ckpt/result.h"
#include "ckpt/shape.h"
#include "formats/torch/pickle_graph.h"

namespace ckpt::formats {

// What a persistent id says of a storage: ('storage', class, key, location, elements[, view]).
struct StorageReference {
  std::string key;
  std::uint64_t elements = 0;
  std::uint64_t bytes = 0;        // checked product
  unsigned element_bytes = 0;     // of the class
  unsigned swap_bytes = 0;        // unit that the byte order concerns: half of a complex element
  std::uint64_t view_offset = 0;  // in elements: only in files before 0.4
};

struct TensorView {
  Dtype dtype = Dtype::kF32;
  unsigned element_bytes = 0;
  unsigned swap_bytes = 0;
  Shape shape;
  std::vector<std::int64_t> strides;  // in elements, none negative
  std::uint64_t offset = 0;           // in elements, within the storage
  StorageReference storage;
  // An array of NumPy's, whose bytes stand in the pickle: `storage` has no key then.
  std::optional<PickleId> in_pickle = {};
  bool big_endian = false;  // of such an array; a storage's order is that of its file
  bool requires_grad = false;
  std::string remark;               // quantisation, a dtype that has no name here; or empty
  std::optional<Error> unreadable;  // listed, but its bytes cannot be had: the reason
};

// True where `id` is what rebuilds a tensor, well formed or not.
bool IsTensor(const PickleGraph& graph, PickleId id);
// The view that `id` describes. kCorrupt, naming no tensor yet, where arguments are missing, of
// other types, negative, or reach beyond the storage. REQUIRES: IsTensor.
Result<TensorView> ReadTensorView(const PickleGraph& graph, PickleId id);
// The storage of a persistent id; kCorrupt where it is none.
Result<StorageReference> ReadStorageReference(const PickleGraph& graph, PickleId persistent);

// May this class or function stand in a file without a remark? Those that weights_only loading
// allows, and NumPy's.
bool IsKnownGlobal(std::string_view name);

}  // namespace ckpt::formats
