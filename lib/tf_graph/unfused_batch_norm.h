// The batch norm that tf.nn.batch_normalization builds from simple operations:
//   s = Rsqrt(variance + epsilon) [* gamma];  y = x * s + ([beta] - mean * s)
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "ckpt/op_bodies.h"

namespace ckpt::tf_graph {

// An input of an operation: the place of a vector in the pattern.
struct InputPlace {
  OpRef at;
  std::size_t input = 0;
};

struct UnfusedPattern {
  OpId output = 0;  // the last addition
  std::vector<OpId> ops = {};
  std::vector<OpId> path = {};  // those from x to the output, in order
  InputPlace x, variance, mean;
  std::optional<InputPlace> gamma = {}, beta = {};
  double epsilon = 0;
};

// The patterns of one Rsqrt: none or one, or several where towers share the scale.
std::vector<UnfusedPattern> UnfusedPatternsAt(const OpBodies& bodies, OpRef rsqrt);

}  // namespace ckpt::tf_graph
