// Batch norms that are built of simple operations.
//
// As tf.nn.batch_normalization does it:
//   s = Rsqrt(variance + epsilon) [* gamma];  y = x * s + ([beta] - mean * s)
// Written out by hand, as the formula stands, in any order of its factors:
//   y = [gamma *] (x - mean) / Sqrt(variance + epsilon) [* gamma] [+ beta]
#pragma once

#include <optional>
#include <vector>

#include "tf_graph/pattern_walk.h"

namespace ckpt::tf_graph {

struct UnfusedPattern {
  OpId output = 0;  // the last operation
  std::vector<OpId> ops = {};
  std::vector<OpId> path = {};  // those from x to the output, in order
  InputPlace x, variance, mean;
  std::optional<InputPlace> gamma = {}, beta = {};
  double epsilon = 0;
};

// The first form, by its Rsqrt: none or one, or several where towers share the scale.
std::vector<UnfusedPattern> UnfusedPatternsAt(const OpBodies& bodies, OpRef rsqrt);

// The second form, by its Sqrt or Rsqrt. Only those with a gamma or a beta: without, it may be any
// normalisation.
std::vector<UnfusedPattern> WrittenOutPatternsAt(const OpBodies& bodies, OpRef root);

}  // namespace ckpt::tf_graph
