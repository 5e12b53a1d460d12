// Manifests made of names and shapes alone.
#pragma once

#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "ckpt/batch_norm.h"
#include "tests/support/memory_checkpoint.h"

namespace ckpt::testing {

struct NamedTensor {
  NamedTensor(const char* tensor_name, std::vector<std::int64_t> tensor_dims = {4},
              Dtype tensor_dtype = Dtype::kF32)
      : name(tensor_name), dims(std::move(tensor_dims)), dtype(tensor_dtype) {}
  std::string name;
  std::vector<std::int64_t> dims;
  Dtype dtype;
};

inline Manifest ManifestOf(const std::vector<NamedTensor>& tensors) {
  MemoryCheckpoint checkpoint;
  for (const NamedTensor& tensor : tensors) {
    const Shape shape = *Shape::FromDims(tensor.dims);
    const std::size_t bytes = shape.element_count() * BitSize(tensor.dtype) / 8;
    checkpoint.AddBytes(tensor.name, tensor.dims, std::vector<std::byte>(bytes), tensor.dtype);
  }
  checkpoint.Seal();
  return checkpoint.manifest();
}

// Roles by name, and layers in words that a failure message shows.
struct Named {
  explicit Named(const std::vector<NamedTensor>& tensors, const AnalysisOptions& options = {})
      : manifest(ManifestOf(tensors)), analysis(Analyse(manifest, options)) {}
  static Named OfManifest(Manifest manifest, const AnalysisOptions& options = {}) {
    Named named(std::vector<NamedTensor>{});
    named.manifest = std::move(manifest);
    named.analysis = Analyse(named.manifest, options);
    return named;
  }

  const TensorRole& Of(const std::string& name) const {
    return analysis.roles[FindTensor(manifest, name)->index];
  }
  std::string RoleOf(const std::string& name) const { return std::string(Name(Of(name).role)); }
  // The name of the variable that a slot or shadow belongs to; empty if none was found.
  std::string OwnerOf(const std::string& name) const {
    const auto of = Of(name).of;
    return of ? manifest.tensors[of->index].name : std::string();
  }
  std::string NameOf(const std::optional<TensorId>& id) const {
    return id ? manifest.tensors[id->index].name : std::string("-");
  }
  // "scope: gamma beta mean variance" with "-" for each that is absent, one per layer.
  std::vector<std::string> Layers() const {
    std::vector<std::string> layers;
    for (const BatchNorm& norm : analysis.batch_norms) {
      layers.push_back(norm.scope + ": " + NameOf(norm.gamma) + " " + NameOf(norm.beta) + " " +
                       NameOf(norm.moving_mean) + " " + NameOf(norm.moving_variance));
    }
    return layers;
  }
  std::vector<std::string> Scopes() const {
    std::vector<std::string> scopes;
    for (const BatchNorm& norm : analysis.batch_norms) scopes.push_back(norm.scope);
    return scopes;
  }

  Manifest manifest;
  Analysis analysis;
};

}  // namespace ckpt::testing
