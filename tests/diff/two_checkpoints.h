// Two checkpoints in memory and the comparison of them.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "ckpt/diff.h"
#include "tests/support/memory_checkpoint.h"

namespace ckpt::testing {

struct TwoCheckpoints {
  MemoryCheckpoint a, b;
  AnalysisOptions analysis = {};

  // Adds the same tensor to both.
  void AddBoth(const std::string& name, const std::vector<std::int64_t>& dims,
               const std::vector<double>& values, Dtype dtype = Dtype::kF32) {
    a.Add(name, dims, values, dtype);
    b.Add(name, dims, values, dtype);
  }
  // Adds a vector to each.
  void Add(const std::string& name, const std::vector<double>& in_a,
           const std::vector<double>& in_b, Dtype dtype_a = Dtype::kF32,
           std::optional<Dtype> dtype_b = {}) {
    a.Add(name, {static_cast<std::int64_t>(in_a.size())}, in_a, dtype_a);
    b.Add(name, {static_cast<std::int64_t>(in_b.size())}, in_b, dtype_b.value_or(dtype_a));
  }

  // Seals both; call once.
  Result<CheckpointDiff> TryCompare(const DiffOptions& options = {}) {
    a.Seal();
    b.Seal();
    return Again(options);
  }
  // Compares sealed checkpoints.
  Result<CheckpointDiff> Again(const DiffOptions& options = {}) const {
    return Diff(a, Analyse(a.manifest(), analysis), b, Analyse(b.manifest(), analysis), options);
  }
  CheckpointDiff Compare(const DiffOptions& options = {}) {
    auto diff = TryCompare(options);
    EXPECT_TRUE(diff) << (diff ? "" : ToString(diff.error()));
    return diff ? *std::move(diff) : CheckpointDiff{};
  }
};

// The only tensor of a comparison.
inline TensorDiff Only(const CheckpointDiff& diff) {
  EXPECT_EQ(diff.tensors.size(), 1u);
  return diff.tensors.empty() ? TensorDiff{} : diff.tensors[0];
}

}  // namespace ckpt::testing
