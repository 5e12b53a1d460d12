#include "conventions/tensor_parts.h"

#include "fold/linear_layer.h"
#include "roles/tensor_name.h"

namespace ckpt {
namespace {

TensorPart Split(const std::string& name) {
  const ParsedName parsed = ParseName(name);
  if (parsed.leaf != nullptr) return {std::string(parsed.scope), std::string(parsed.leaf->leaf)};
  const NameParts parts = SplitName(name);
  return {parts.parent, parts.leaf};
}

}  // namespace

std::vector<TensorPart> PartsOf(const Manifest& manifest, const Analysis& analysis) {
  std::vector<TensorPart> parts;
  for (std::size_t i = 0; i < manifest.tensors.size(); ++i) {
    parts.push_back(Split(manifest.tensors[i].name));
    parts.back().role = analysis.roles[i].role;
  }
  for (const BatchNorm& layer : analysis.batch_norms) {
    for (const auto& id :
         {layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance, layer.batch_counter}) {
      if (id) parts[id->index].scope = layer.scope;
    }
  }
  return parts;
}

TensorPart PartOfNew(const std::string& name) {
  TensorPart part = Split(name);
  const bool offset = part.leaf == "beta" || part.leaf == "offset";
  const bool scale = part.leaf == "gamma" || part.leaf == "scale";
  part.role = offset ? Role::kBeta : scale ? Role::kGamma : Role::kBias;
  return part;
}

}  // namespace ckpt
