// Graphs as training programs leave them, each with a checkpoint of its variables.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "ckpt/serving.h"
#include "tests/support/memory_checkpoint.h"
#include "tests/support/op_graph_builder.h"

namespace ckpt::testing {

inline constexpr std::int32_t kFloatNumber = 1, kInt32Number = 3, kBoolNumber = 10;

struct TrainedGraph : GraphBuilder {
  MemoryCheckpoint checkpoint;
  std::vector<std::string> unsaved = {};  // variables that the checkpoint lacks

  Op& Placeholder(const std::string& name, std::int32_t dtype, std::vector<std::int64_t> shape) {
    Op& op = top.Add(name, "Placeholder");
    op.attrs["dtype"] = OpDtype{dtype};
    op.attrs["shape"] = OpShape(std::move(shape));
    return op;
  }
  // A variable of four elements, or of the given shape, that is saved with these values.
  void Saved(const std::string& name, std::vector<double> values,
             std::vector<std::int64_t> dims = {4}) {
    Variable(name);
    top.At(name).attrs["dtype"] = OpDtype{kFloatNumber + 100};
    if (std::find(unsaved.begin(), unsaved.end(), name) == unsaved.end())
      checkpoint.Add(name, std::move(dims), values);
  }
  void SavedBatchNorm(const std::string& scope) {
    Saved(scope + "/gamma", {1, 2, 3, 4});
    Saved(scope + "/beta", {4, 3, 2, 1});
    Saved(scope + "/moving_mean", {0.5, 1, 1.5, 2});
    Saved(scope + "/moving_variance", {0.25, 1, 4, 9});
  }
  // A dense layer to four outputs.
  void Dense(const std::string& name, const std::string& x) {
    Saved(name + "/kernel", std::vector<double>(8, 0.5), {2, 4});
    top.Add(name + "/MatMul", "MatMul", {x, name + "/kernel/read"}).attrs["T"] =
        OpDtype{kFloatNumber};
  }

  Result<std::unique_ptr<ServingModel>> Serve(const ServingOptions& options = {}) {
    checkpoint.Seal();
    checkpoint.mutable_manifest().ops = std::make_shared<OpGraph>(graph);
    return MakeServingModel(checkpoint, options);
  }
};

inline std::vector<std::string> Types(const OpGraph& graph) {
  std::vector<std::string> types;
  for (const Op& op : graph.top.ops) types.push_back(op.type);
  return types;
}

}  // namespace ckpt::testing
