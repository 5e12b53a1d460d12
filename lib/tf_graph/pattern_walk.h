// Small steps through an operation graph, for patterns of a few operations.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>
#include <vector>

#include "ckpt/op_bodies.h"

namespace ckpt::tf_graph {

// An input of an operation: the place of a vector in a pattern.
struct InputPlace {
  OpRef at;
  std::size_t input = 0;
};

inline bool IsAdd(std::string_view type) { return type == "Add" || type == "AddV2"; }

class PatternWalk {
 public:
  explicit PatternWalk(const OpBodies& bodies) : bodies_(bodies) {}

  const Op& op(OpRef at) const { return bodies_.op(at); }

  // The operation behind an input, past casts and identities.
  std::optional<OpRef> SourceOf(OpRef at, std::size_t input) const;
  // The first two inputs of operations that read `at` or a cast of it.
  std::vector<InputPlace> ReadersOf(OpRef at) const;

  // variance + epsilon, epsilon a constant: the addition, or nothing.
  struct Sum {
    OpRef at;
    InputPlace variance;
    double epsilon = 0;
  };
  std::optional<Sum> VarianceBehind(OpRef root) const;

 private:
  std::optional<double> EpsilonAt(OpRef sum, std::size_t input) const;

  const OpBodies& bodies_;
};

}  // namespace ckpt::tf_graph
