// A batch norm that stays in the model, changed: others merged into it, or reduced to one scale and
// one offset per channel.
#pragma once

#include <optional>
#include <vector>

#include "fold/batch_norm_function.h"
#include "fold/linear_layer.h"

namespace ckpt {

// What is written for it, and what no longer is.
struct ChangedBatchNorm {
  std::vector<FoldedTensor> tensors = {};
  std::vector<TensorId> consumed = {};
  bool to_affine = false;  // see GraphEdits
  std::vector<Rebound> rebound = {};
};

// The same batch norm with `function`, of which only gamma and beta differ from the file's. Becomes
// affine where it has no gamma or no beta to change. Fails with kUnfit where a value exceeds its
// type's range or a tensor to change is shared.
Result<ChangedBatchNorm> WithMerged(const Manifest& manifest, const SharedTensors& shared,
                                    const BatchNorm& batch_norm, const BatchNormFunction& function,
                                    std::optional<Dtype> cast);

// One scale and one offset: in a graph a batch norm with gamma = scale, beta = offset, mean 0 and
// variance + epsilon 1, else the tensors SCOPE/scale and SCOPE/offset. Fails with kUnfit as above.
Result<ChangedBatchNorm> AsAffine(const Manifest& manifest, const SharedTensors& shared,
                                  const BatchNorm& batch_norm, const BatchNormFunction& function,
                                  std::optional<Dtype> cast);

}  // namespace ckpt
