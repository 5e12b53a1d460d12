// The batch norms of a serving graph whose vectors are all constants that tensors hold.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "ckpt/op_batch_norm.h"
#include "serving/body_view.h"

namespace ckpt {

struct ServingBatchNorm {
  OpBatchNorm found;
  // "gamma", "beta", "moving_mean", "moving_variance": what holds them, and where they are read.
  std::map<std::string, Weight> weights = {};
  std::map<std::string, OpInput, std::less<>> places = {};
  // The inputs of operations on its path that are constants.
  std::vector<OpInput> operands = {};
  // Axes of its input behind that of the channels, as the vectors are broadcast.
  std::size_t axes_behind_channels = 0;
  std::size_t rank =
      0;  // of the vectors: at least this has what is normalised, or the fused form 4
  // Its operations beside the path serve no other: they may be made to read another gamma.
  bool own_operations = true;
};

// Operations that compute with data wherever they stand: those on the path of a batch norm.
std::vector<OpId> OpsOfBatchNorms(const OpBatchNorms& found);

// Those in inference mode that can be taken out of the graph or changed in it. Batch norms whose
// inner values something else reads, or whose vectors are computed otherwise, are none.
std::vector<ServingBatchNorm> FindServingBatchNorms(const OpBatchNorms& found,
                                                    const BodyView& body);

}  // namespace ckpt
