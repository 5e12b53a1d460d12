// Folds are carried over to the graph of operations.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "ckpt/audit.h"
#include "tests/serving/trained_graph.h"

namespace ckpt::testing::apply_plan_test {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::SizeIs;

struct Folding {
  ConversionPlan plan;
  OpGraph graph;
};

Result<Folding> Fold(const ServingModel& model, bool leftover_affine = false) {
  const Analysis analysis = Analyse(model.manifest());
  ConvertOptions options;
  options.fold.fold = true;
  options.fold.leftover_affine = leftover_affine;
  options.keep_training_state = true;
  Folding folding;
  CKPT_ASSIGN_OR_RETURN(folding.plan, PlanConversion(model, analysis, {}, options));
  CKPT_ASSIGN_OR_RETURN(folding.graph, model.Apply(folding.plan));
  return folding;
}

// x . kernel, then batch norm: fused, or as tf.nn.batch_normalization writes it.
TrainedGraph DenseBatchNorm(bool fused, const std::string& between = {}) {
  TrainedGraph g;
  g.Placeholder("x", kFloatNumber, {-1, 2});
  g.Dense("dense", "x");
  g.SavedBatchNorm("bn");
  std::string x = "dense/MatMul";
  if (!between.empty()) {
    g.top.Add("between", between, {x}).attrs["T"] = OpDtype{kFloatNumber};
    x = "between";
  }
  if (fused) {
    g.Fused("bn", x, false).attrs["T"] = OpDtype{kFloatNumber};
    return g;
  }
  g.top.Floats("bn/epsilon", {}, {0.001});
  g.top.Add("bn/add", "AddV2", {"bn/moving_variance/read", "bn/epsilon"});
  g.top.Add("bn/Rsqrt", "Rsqrt", {"bn/add"});
  g.top.Add("bn/mul", "Mul", {"bn/Rsqrt", "bn/gamma/read"});
  g.top.Add("bn/mul_1", "Mul", {x, "bn/mul"});
  g.top.Add("bn/mul_2", "Mul", {"bn/moving_mean/read", "bn/mul"});
  g.top.Add("bn/sub", "Sub", {"bn/beta/read", "bn/mul_2"});
  g.top.Add("bn/add_1", "AddV2", {"bn/mul_1", "bn/sub"}).attrs["T"] = OpDtype{kFloatNumber};
  return g;
}

TEST(ApplyPlan, AFoldedBatchNormBecomesABias) {
  for (const bool fused : {true, false}) {
    TrainedGraph g = DenseBatchNorm(fused);
    const auto model = g.Serve();
    ASSERT_TRUE(model) << ToString(model.error());
    const auto folding = Fold(**model);
    ASSERT_TRUE(folding) << ToString(folding.error());
    EXPECT_THAT(folding->plan.folded, SizeIs(1));
    EXPECT_THAT(Types(folding->graph),
                ElementsAre("Placeholder", "Const", "MatMul", "Const", "BiasAdd", "Identity"));
    // The output keeps the name that the graph's users know.
    EXPECT_EQ(folding->graph.top.ops.back().name, fused ? "bn/FusedBatchNormV3" : "bn/add_1");
    // Two tensors are left: the kernel and the bias.
    ASSERT_THAT(folding->plan.tensors, SizeIs(2));
    EXPECT_EQ(folding->plan.tensors[0].info.name, "dense/bias");
    EXPECT_EQ(folding->plan.tensors[1].info.name, "dense/kernel");
    // b' = beta - mean * gamma / sqrt(variance + epsilon), in the first channel.
    const auto& bias = std::get<Constant>(folding->plan.tensors[0].content).values;
    EXPECT_NEAR(bias[0], 4 - 0.5 * 1 / std::sqrt(0.25 + 0.001), 1e-6);
  }
}

TEST(ApplyPlan, WhatCannotBeFoldedStaysOrBecomesOneProductAndOneSum) {
  for (const bool fused : {true, false}) {
    TrainedGraph g = DenseBatchNorm(fused, "Relu");
    const auto model = g.Serve();
    ASSERT_TRUE(model);
    const auto kept = Fold(**model);
    ASSERT_TRUE(kept);
    EXPECT_THAT(kept->plan.kept, SizeIs(1));
    EXPECT_THAT(Types(kept->graph), Contains(fused ? "FusedBatchNormV3" : "Rsqrt"));
    const auto affine = Fold(**model, true);
    ASSERT_TRUE(affine) << ToString(affine.error());
    EXPECT_THAT(Types(affine->graph), ElementsAre("Placeholder", "Const", "MatMul", "Relu", "Const",
                                                  "Mul", "Const", "Add", "Identity"));
    EXPECT_THAT(affine->plan.tensors, SizeIs(3));
  }
}

TEST(ApplyPlan, AKernelOfTwoLayersIsFoldedAsACopy) {
  TrainedGraph g = DenseBatchNorm(true);
  g.top.Add("again", "MatMul", {"x", "dense/kernel/read"}).attrs["T"] = OpDtype{kFloatNumber};
  const auto model = g.Serve({.outputs = {"bn/FusedBatchNormV3", "again"}});
  ASSERT_TRUE(model);
  const auto folding = Fold(**model);
  ASSERT_TRUE(folding) << ToString(folding.error());
  EXPECT_THAT(folding->plan.folded, SizeIs(1));
  const OpBody& body = folding->graph.top;
  const auto kernel_of = [&](const char* name) {
    const Op& op = body.ops[body.ops[*body.Find(name)].inputs[1].op];
    return folding->plan.tensors[op.tensor->index];
  };
  EXPECT_TRUE(std::holds_alternative<CopyOf>(kernel_of("again").content));
  EXPECT_EQ(kernel_of("again").info.name, "dense/kernel");
  EXPECT_TRUE(std::holds_alternative<ScaledKernel>(kernel_of("dense/MatMul").content));
  EXPECT_NE(kernel_of("dense/MatMul").info.name, "dense/kernel");
}

TEST(ApplyPlan, WhatOtherOperationsReadKeepsItsValue) {
  TrainedGraph g = DenseBatchNorm(false);
  g.top.Add("tied", "Transpose", {"dense/kernel/read"}).attrs["T"] = OpDtype{kFloatNumber};
  g.top.Add("spread", "Sqrt", {"bn/moving_variance/read"}).attrs["T"] = OpDtype{kFloatNumber};
  const auto model = g.Serve({.outputs = {"bn/add_1", "tied", "spread"}});
  ASSERT_TRUE(model);
  const auto folding = Fold(**model);
  ASSERT_TRUE(folding) << ToString(folding.error());
  EXPECT_THAT(folding->plan.folded, SizeIs(1));
  const OpBody& body = folding->graph.top;
  for (const char* name : {"tied", "spread"}) {
    const Op& op = body.ops[body.ops[*body.Find(name)].inputs[0].op];
    ASSERT_TRUE(op.tensor);
    EXPECT_TRUE(std::holds_alternative<CopyOf>(folding->plan.tensors[op.tensor->index].content));
  }
}

}  // namespace
}  // namespace ckpt::testing::apply_plan_test
