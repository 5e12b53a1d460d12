// Whose tensors the layers of a graph read, as exporters record it.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "ckpt/checkpoint.h"

namespace ckpt {

// What a graph says of whose tensors a layer reads, beyond the tensors themselves: exporters store
// equal constants of several modules once.
struct LayerOrigin {
  // The path of the framework's module of which the layer is a call: "layer1.0.bn1".
  std::string module = {};
  // The name under which the layer reads a tensor, by its local name, where it is not the tensor's
  // own: the constant is handed on under the names of the others.
  std::map<std::string, std::string> read_as = {};
  // Why the tensors are no longer those of the module ("the exporter folded a batch norm into it").
  std::string rewritten = {};
};

// A checkpoint whose graph may say so.
class RecordsOrigins {
 public:
  virtual ~RecordsOrigins() = default;
  // By layer of the graph; empty: it does not say.
  virtual const std::vector<LayerOrigin>& origins() const noexcept = 0;
};

// Empty where nothing is recorded.
const std::vector<LayerOrigin>& OriginsOf(const Checkpoint& checkpoint) noexcept;

}  // namespace ckpt
