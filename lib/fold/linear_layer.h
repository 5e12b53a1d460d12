// A convolution or dense layer that a batch norm may be folded into: its kernel, its bias or the
// one it would get, and how channels lie in the kernel.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "ckpt/checkpoint.h"
#include "fold/channel_view.h"

namespace ckpt {

struct LinearLayer {
  TensorId kernel = {};
  std::optional<TensorId> bias = {};
  // The bias that a fold would create where there is none; absent where the layer cannot have one.
  std::optional<TensorInfo> new_bias = {};
  KernelViews views = {};
  std::optional<LayerId> layer = {};  // in the graph
  // Names of the tensors that are written for it; others than the file's where the layer shares
  // them and gets its own.
  std::string kernel_name = {}, bias_name = {};
  double kernel_factor = 1, bias_factor = 1;  // see Layer
};

// Which tensors of a checkpoint stand under several names or in several layers, so that changing
// one would change another.
class SharedTensors {
 public:
  explicit SharedTensors(const Manifest& manifest);
  bool Contains(TensorId id) const { return shared_[id.index]; }
  // The file records another name of the tensor, under which it does not hold it.
  bool HasAbsentName(TensorId id) const { return absent_names_.contains(id.index); }
  // Some tensor has the name, in the manifest or in the file.
  bool HasName(std::string_view name) const { return names_.contains(name); }

 private:
  std::unordered_set<std::string_view> names_;
  std::vector<bool> shared_;
  std::unordered_set<std::uint32_t> absent_names_;
};

// Each fails with kUnfit and the reason where the tensors do not form a layer that can be changed.
Result<LinearLayer> LinearLayerOfGraph(const Manifest& manifest, const SharedTensors& shared,
                                       LayerId layer);
// A kernel known by its name alone. The new bias, if `bias` is absent, follows the convention of
// the kernel's name.
Result<LinearLayer> LinearLayerOfNames(const Manifest& manifest, const SharedTensors& shared,
                                       TensorId kernel, std::optional<TensorId> bias,
                                       KernelLayout layout, std::int64_t groups);

// A name for a tensor that `layer` gets as its own: `wanted` if it is free. REQUIRES: a graph.
std::string FreeName(const Manifest& manifest, const SharedTensors& shared,
                     const std::string& wanted, LayerId layer);

// "conv/weights" -> {"conv", "/", "weights"}; the parent and separator are empty for a plain name.
struct NameParts {
  std::string parent, separator, leaf;
};
NameParts SplitName(std::string_view name);
// What the convention behind a kernel's name calls the bias: "biases" for "weights", ...
std::string BiasNameFor(std::string_view kernel_name);

}  // namespace ckpt
