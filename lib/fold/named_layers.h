// The layers of a file that has names only: what has tensors of its own, and what stands before
// what, as far as the file keeps the order in which the model defines its layers.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "ckpt/batch_norm.h"
#include "fold/linear_layer.h"

namespace ckpt {

struct NamedLayer {
  std::string scope;
  NameParts parts = {};                        // of the scope
  std::vector<TensorId> tensors = {};          // its own, without those of layers inside
  std::optional<TensorId> kernel = {};         // its only kernel
  std::optional<std::size_t> batch_norm = {};  // index into the analysis
};

// Refers to the manifest and the analysis, which must outlive it.
class NamedLayers {
 public:
  NamedLayers(const Manifest& manifest, const Analysis& analysis);

  const Manifest& manifest() const noexcept { return manifest_; }
  const Analysis& analysis() const noexcept { return analysis_; }
  // Are the layers in the order of their definition? Else they are in natural order of their names.
  bool ordered() const noexcept { return !manifest_.stored_order.empty(); }
  const std::vector<NamedLayer>& layers() const noexcept { return layers_; }
  // Indices into layers(); absent where the scope of the batch norm has tensors in two places.
  std::optional<std::size_t> OfBatchNorm(std::size_t batch_norm) const;
  std::optional<std::size_t> OfKernel(TensorId kernel) const;
  // What the file records of the module of this scope; null if there is none.
  const RecordedModule* Recorded(std::string_view scope) const;
  // A module that is recorded between two others, is no part of the first, and may compute
  // something: its scope.
  std::optional<std::string> RecordedBetween(const std::string& first,
                                             const std::string& second) const;

 private:
  void Add(TensorId id, const std::vector<std::optional<std::size_t>>& norm_of);

  const Manifest& manifest_;
  const Analysis& analysis_;
  std::vector<NamedLayer> layers_;
  std::map<std::size_t, std::optional<std::size_t>> of_batch_norm_;
  std::map<TensorId, std::size_t> of_kernel_;
  std::unordered_map<std::string_view, std::size_t> recorded_;
};

// Is the leaf of a scope a number, as those of torch.nn.Sequential are?
std::optional<std::int64_t> PlaceInSequence(std::string_view leaf);

// The numbers in a layer's name, without those that say a size or a rank: {3} of "conv2d_3", none
// of "conv3x3".
std::vector<std::string> NumbersIn(std::string_view leaf);

}  // namespace ckpt
