// The layer that each tensor belongs to and what it is there, whatever the names are.
#pragma once

#include <string>
#include <vector>

#include "ckpt/batch_norm.h"

namespace ckpt {

struct TensorPart {
  std::string scope;  // of the layer, as the input has it; empty: none
  std::string leaf;   // the rest of the name: "kernel", "depthwise_kernel"
  Role role = Role::kOther;
};

// One for each tensor of the manifest, in its order.
std::vector<TensorPart> PartsOf(const Manifest& manifest, const Analysis& analysis);
// Of a tensor that the manifest lacks: a bias or an offset that a fold created.
TensorPart PartOfNew(const std::string& name);

}  // namespace ckpt
