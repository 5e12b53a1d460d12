// Batch norms are found by what the operations compute.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ckpt/op_batch_norm.h"
#include "tests/support/op_graph_builder.h"

namespace ckpt::testing::batch_norm_ops_test {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Kind = OpBatchNormVector::Kind;
using Mode = OpBatchNormMode;

OpBatchNorms Found(const GraphBuilder& builder) { return FindBatchNorms(OpBodies(builder.graph)); }

OpBatchNorm Only(const GraphBuilder& builder) {
  const OpBatchNorms found = Found(builder);
  EXPECT_THAT(found.norms, SizeIs(1));
  return found.norms.empty() ? OpBatchNorm{} : found.norms[0];
}

TEST(FusedBatchNorm, ReadsVariablesWhateverTheirNames) {
  GraphBuilder builder;
  for (const char* name : {"scale", "offset", "pop_mean", "pop_var"}) builder.Variable(name);
  builder.top.Add("x", "Placeholder");
  Op& op = builder.top.Add("y", "FusedBatchNormV3",
                           {"x", "scale/read", "offset/read", "pop_mean/read", "pop_var/read"});
  op.attrs["is_training"] = false;
  op.attrs["epsilon"] = static_cast<double>(0.001f);
  op.attrs["data_format"] = std::string("NCHW");
  const OpBatchNorm norm = Only(builder);
  EXPECT_EQ(norm.mode, Mode::kInference);
  EXPECT_EQ(norm.gamma.variable, "scale");
  EXPECT_EQ(norm.beta.variable, "offset");
  EXPECT_EQ(norm.mean.variable, "pop_mean");
  EXPECT_EQ(norm.variance.variable, "pop_var");
  EXPECT_EQ(norm.moving_variance, "pop_var");
  EXPECT_EQ(norm.epsilon, double{0.001F});
  EXPECT_EQ(norm.channel_axis, 1);
}

TEST(FusedBatchNorm, AnAbsentAttributeHasTheDefaultOfTheOperation) {
  GraphBuilder builder;
  builder.BatchNormVariables("bn");
  builder.top.Add("x", "Placeholder");
  builder.Fused("bn", "x", false).attrs.clear();
  const OpBatchNorm norm = Only(builder);
  EXPECT_EQ(norm.mode, Mode::kTraining);
  EXPECT_EQ(norm.epsilon, double{1e-4F});
  EXPECT_FALSE(norm.epsilon_recorded);
  EXPECT_EQ(norm.data_format, "NHWC");
}

TEST(FusedBatchNorm, InTrainingModeItsStatisticsAreThoseItsUpdatesWrite) {
  GraphBuilder builder;
  builder.BatchNormVariables("bn");
  builder.top.Add("x", "Placeholder");
  builder.Fused("bn", "x", true);
  builder.MovingAverage("u", "bn/moving_mean", "bn/FusedBatchNormV3:1", 0.99);
  builder.MovingAverage("v", "bn/moving_variance", "bn/FusedBatchNormV3:2", 0.99);
  const OpBatchNorms found = Found(builder);
  ASSERT_THAT(found.norms, SizeIs(1));
  EXPECT_EQ(found.norms[0].mean.kind, Kind::kNone);
  EXPECT_EQ(found.norms[0].moving_mean, "bn/moving_mean");
  EXPECT_EQ(found.norms[0].moving_variance, "bn/moving_variance");
  EXPECT_NEAR(found.norms[0].momentum.value(), 0.99, 1e-12);
  ASSERT_THAT(found.updates, SizeIs(2));
  EXPECT_THAT(found.updates[0].norms, ElementsAre(0));
  EXPECT_TRUE(found.updates[1].variance);
}

TEST(FusedBatchNorm, BehindSwitchAndMergeBothBranchesAreFound) {
  GraphBuilder builder;
  builder.BatchNormVariables("bn");
  builder.top.Add("x", "Placeholder");
  builder.top.Add("phase", "Placeholder");
  const std::vector<std::string> inputs = {"x", "bn/gamma/read", "bn/beta/read",
                                           "bn/moving_mean/read", "bn/moving_variance/read"};
  std::vector<std::string> on_false, on_true;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const std::string name = "switch" + std::to_string(i);
    builder.top.Add(name, "Switch", {inputs[i], "phase"});
    on_false.push_back(name);
    on_true.push_back(name + ":1");
  }
  builder.top.Add("train", "FusedBatchNormV3", on_true).attrs["is_training"] = true;
  builder.top.Add("infer", "FusedBatchNormV3", on_false).attrs["is_training"] = false;
  builder.top.Add("merge", "Merge", {"infer", "train"});
  builder.top.Add("merge_1", "Merge", {"infer:1", "train:1"});
  builder.top.Floats("one", {}, {1});
  builder.top.Floats("momentum", {}, {0.99});
  builder.top.Add("cond_1", "Merge", {"one", "momentum"});
  builder.top.Add("u/sub", "Sub", {"one", "cond_1"});
  builder.top.Add("u/sub_1", "Sub", {"bn/moving_mean/read", "merge_1"});
  builder.top.Add("u/mul", "Mul", {"u/sub_1", "u/sub"});
  builder.top.Add("u", "AssignSub", {"bn/moving_mean", "u/mul"});
  const OpBatchNorms found = Found(builder);
  ASSERT_THAT(found.norms, SizeIs(2));
  EXPECT_EQ(found.norms[0].mode, Mode::kTraining);
  EXPECT_EQ(found.norms[1].mode, Mode::kInference);
  EXPECT_EQ(found.norms[0].moving_mean, "bn/moving_mean");
  EXPECT_EQ(found.norms[1].gamma.variable, "bn/gamma");
  ASSERT_THAT(found.updates, SizeIs(1));
  EXPECT_NEAR(found.updates[0].momentum.value(), 0.99, 1e-7);
}

TEST(FusedBatchNorm, InAFunctionItsVariablesAreTheArgumentsOfTheCalls) {
  GraphBuilder builder;
  BodyBuilder inner = builder.Function("inner", 5);
  for (int i = 1; i < 5; ++i) {
    inner.Add("read" + std::to_string(i), "ReadVariableOp", {"arg" + std::to_string(i)});
  }
  inner.Add("y", "FusedBatchNormV3", {"arg0", "read1", "read2", "read3", "read4"})
      .attrs["is_training"] = false;
  builder.Return("inner", {"y"});
  BodyBuilder outer = builder.Function("outer", 5);
  outer.Add("call", "StatefulPartitionedCall", {"arg0", "arg1", "arg2", "arg3", "arg4"})
      .attrs["f"] = OpFunctionName{"inner"};
  builder.Return("outer", {"call"});
  builder.top.Add("x", "Placeholder");
  for (const char* name : {"g", "b", "m", "v"}) builder.top.Add(name, "VarHandleOp");
  builder.top.Add("call", "PartitionedCall", {"x", "g", "b", "m", "v"}).attrs["f"] =
      OpFunctionName{"outer"};
  const OpBatchNorm norm = Only(builder);
  EXPECT_EQ(norm.gamma.variable, "g");
  EXPECT_EQ(norm.moving_variance, "v");
  EXPECT_EQ(norm.body, 1u);
}

TEST(FusedBatchNorm, LayerNormsAreNotListed) {
  GraphBuilder builder;
  builder.top.Add("x", "Placeholder");
  builder.top.Floats("ones", {4}, {1, 1, 1, 1});
  builder.top.Floats("zeros", {4}, {0, 0, 0, 0});
  builder.top.Floats("empty", {0}, {});
  builder.top.Add("y", "FusedBatchNormV3", {"x", "ones", "zeros", "empty", "empty"});
  EXPECT_THAT(Found(builder).norms, IsEmpty());
  // A frozen graph holds gamma and beta as constants too, but not ones and zeros.
  builder.top.Floats("learnt", {4}, {0.9, 1.1, 1.2, 0.7});
  builder.top.Add("z", "FusedBatchNormV3", {"x", "learnt", "zeros", "empty", "empty"});
  EXPECT_THAT(Found(builder).norms, SizeIs(1));
}

TEST(GlobalNormalization, HasAnOrderOfInputsOfItsOwn) {
  GraphBuilder builder;
  builder.BatchNormVariables("bn");
  builder.top.Add("x", "Placeholder");
  Op& op = builder.top.Add(
      "y", "BatchNormWithGlobalNormalization",
      {"x", "bn/moving_mean/read", "bn/moving_variance/read", "bn/beta/read", "bn/gamma/read"});
  op.attrs["variance_epsilon"] = static_cast<double>(1e-5f);
  op.attrs["scale_after_normalization"] = true;
  OpBatchNorm norm = Only(builder);
  EXPECT_EQ(norm.mean.variable, "bn/moving_mean");
  EXPECT_EQ(norm.beta.variable, "bn/beta");
  EXPECT_EQ(norm.gamma.variable, "bn/gamma");
  EXPECT_EQ(norm.epsilon, double{1e-5F});
  EXPECT_EQ(norm.mode, Mode::kInference);
  builder.top.At("y").attrs["scale_after_normalization"] = false;
  norm = Only(builder);
  EXPECT_EQ(norm.gamma.kind, Kind::kNone);
}

// tf.nn.batch_normalization over vectors of these names; null gamma or beta: none.
struct Unfused {
  std::string mean = "bn/moving_mean/read", variance = "bn/moving_variance/read";
  std::string gamma = "bn/gamma/read", beta = "bn/beta/read";
  std::string add = "AddV2";
  bool vector_first = false, negate_mean = false;

  void Build(BodyBuilder& body, const std::string& scope = "") const {
    const auto mul = [&](const std::string& name, std::string a, std::string b) {
      if (vector_first) std::swap(a, b);
      body.Add(scope + name, "Mul", {a, b});
    };
    body.Floats(scope + "add/y", {}, {0.001});
    body.Add(scope + "add", add, {variance, scope + "add/y"});
    body.Add(scope + "Rsqrt", "Rsqrt", {scope + "add"});
    std::string scale = scope + "Rsqrt";
    if (!gamma.empty()) {
      mul("mul", scale, gamma);
      scale = scope + "mul";
    }
    mul("mul_1", "x", scale);
    std::string shift = scope + "mul_2";
    if (negate_mean) {
      body.Add(scope + "NegMean", "Neg", {mean});
      mul("mul_2", scope + "NegMean", scale);
    } else {
      mul("mul_2", mean, scale);
      shift = scope + "sub";
      if (beta.empty()) {
        body.Add(shift, "Neg", {scope + "mul_2"});
      } else {
        body.Add(shift, "Sub", {beta, scope + "mul_2"});
      }
    }
    body.Add(scope + "add_1", add, {scope + "mul_1", shift});
  }
};

TEST(UnfusedBatchNorm, IsFoundInAllItsVariants) {
  for (const Unfused& unfused :
       {Unfused{}, Unfused{.add = "Add"}, Unfused{.gamma = ""}, Unfused{.beta = ""},
        Unfused{.gamma = "", .beta = ""}, Unfused{.vector_first = true},
        Unfused{.beta = "", .negate_mean = true}}) {
    SCOPED_TRACE(unfused.add + "," + unfused.gamma + "," + unfused.beta);
    GraphBuilder builder;
    builder.BatchNormVariables("bn");
    builder.top.Add("x", "Placeholder");
    unfused.Build(builder.top);
    const OpBatchNorm norm = Only(builder);
    EXPECT_EQ(norm.form, OpBatchNormForm::kUnfused);
    EXPECT_EQ(norm.mode, Mode::kInference);
    EXPECT_EQ(norm.gamma.variable, unfused.gamma.empty() ? "" : "bn/gamma");
    EXPECT_EQ(norm.beta.variable, unfused.beta.empty() ? "" : "bn/beta");
    EXPECT_EQ(norm.mean.variable, "bn/moving_mean");
    EXPECT_EQ(norm.variance.variable, "bn/moving_variance");
    EXPECT_EQ(norm.epsilon, double{0.001F});
    EXPECT_EQ(builder.graph.top.ops[norm.output].name, "add_1");
    EXPECT_EQ(builder.graph.top.ops[norm.input.op].name, "x");
  }
}

// gamma * (x - mean) / sqrt(variance + epsilon) + beta, its factors in several orders.
TEST(WrittenOutBatchNorm, IsFoundInAllItsOrders) {
  enum class Order { kGammaFirst, kGammaLast, kGammaDivided, kGammaTimesRoot, kNoGamma, kNoBeta };
  using enum Order;
  for (const Order order :
       {kGammaFirst, kGammaLast, kGammaDivided, kGammaTimesRoot, kNoGamma, kNoBeta}) {
    SCOPED_TRACE(static_cast<int>(order));
    GraphBuilder builder;
    builder.BatchNormVariables("bn");
    BodyBuilder& top = builder.top;
    top.Add("x", "Placeholder");
    top.Floats("epsilon", {}, {0.001});
    top.Add("add", "AddV2", {"bn/moving_variance/read", "epsilon"});
    top.Add("sub", "Sub", {"x", "bn/moving_mean/read"});
    top.Add("root", order == kGammaTimesRoot ? "Rsqrt" : "Sqrt", {"add"});
    if (order == kGammaFirst) {
      top.Add("mul", "Mul", {"bn/gamma/read", "sub"});
      top.Add("y", "RealDiv", {"mul", "root"});
    } else if (order == kGammaDivided || order == kGammaTimesRoot) {
      top.Add("scale", order == kGammaDivided ? "RealDiv" : "Mul", {"bn/gamma/read", "root"});
      top.Add("y", "Mul", {"sub", "scale"});
    } else if (order == kNoGamma) {
      top.Add("y", "RealDiv", {"sub", "root"});
    } else {
      top.Add("div", "RealDiv", {"sub", "root"});
      top.Add("y", "Mul", {"div", "bn/gamma/read"});
    }
    if (order != kNoBeta) top.Add("z", "AddV2", {"y", "bn/beta/read"});
    const OpBatchNorm norm = Only(builder);
    EXPECT_EQ(norm.form, OpBatchNormForm::kWrittenOut);
    EXPECT_EQ(norm.mode, Mode::kInference);
    EXPECT_EQ(norm.gamma.variable, order == kNoGamma ? "" : "bn/gamma");
    EXPECT_EQ(norm.beta.variable, order == kNoBeta ? "" : "bn/beta");
    EXPECT_EQ(norm.moving_mean, "bn/moving_mean");
    EXPECT_EQ(norm.moving_variance, "bn/moving_variance");
    EXPECT_EQ(norm.epsilon, double{0.001F});
    EXPECT_EQ(builder.graph.top.ops[norm.output].name, order == kNoBeta ? "y" : "z");
    EXPECT_EQ(builder.graph.top.ops[norm.path.front()].name, "sub");
  }
}

TEST(WrittenOutBatchNorm, WithNeitherGammaNorBetaItMayBeAnyNormalisation) {
  GraphBuilder builder;
  builder.BatchNormVariables("bn");
  builder.top.Add("x", "Placeholder");
  builder.top.Floats("epsilon", {}, {0.001});
  builder.top.Add("add", "AddV2", {"bn/moving_variance/read", "epsilon"});
  builder.top.Add("sub", "Sub", {"x", "bn/moving_mean/read"});
  builder.top.Add("root", "Sqrt", {"add"});
  builder.top.Add("y", "RealDiv", {"sub", "root"});
  builder.top.Add("z", "Relu", {"y"});
  EXPECT_THAT(Found(builder).norms, IsEmpty());
}

// Group norms in Keras 2 divide a sum by a sum of weights (tf.nn.weighted_moments).
TEST(UnfusedBatchNorm, StatisticsOfEachExampleAreNone) {
  for (const double first_axis : {1.0, 0.0}) {
    GraphBuilder builder;
    builder.BatchNormVariables("bn");
    builder.top.Add("x", "Placeholder");
    builder.top.Add("squares", "Square", {"x"});
    builder.top.Add("ones", "OnesLike", {"x"});
    builder.top.Ints("axes", {2}, {first_axis, 2});
    builder.top.Add("weight", "Sum", {"ones", "axes"});
    builder.top.Add("sum", "Sum", {"x", "axes"});
    builder.top.Add("square_sum", "Sum", {"squares", "axes"});
    builder.top.Add("mean", "RealDiv", {"sum", "weight"});
    builder.top.Add("mean_square", "RealDiv", {"square_sum", "weight"});
    builder.top.Add("square_mean", "Square", {"mean"});
    builder.top.Add("variance", "Sub", {"mean_square", "square_mean"});
    Unfused{.mean = "mean", .variance = "variance"}.Build(builder.top);
    EXPECT_THAT(Found(builder).norms, SizeIs(first_axis == 0 ? 1 : 0));
  }
}

TEST(UnfusedBatchNorm, CastsAndReshapesOfTheVectorsAreLookedThrough) {
  GraphBuilder builder;
  builder.BatchNormVariables("bn");
  builder.top.Add("x", "Placeholder");
  builder.top.Ints("shape", {4}, {1, 4, 1, 1});
  Unfused unfused;
  for (std::string* name : {&unfused.mean, &unfused.variance, &unfused.gamma, &unfused.beta}) {
    builder.top.Add("cast/" + *name, "Cast", {*name});
    builder.top.Add("reshape/" + *name, "Reshape", {"cast/" + *name, "shape"});
    *name = "reshape/" + *name;
  }
  unfused.Build(builder.top);
  const OpBatchNorm norm = Only(builder);
  EXPECT_EQ(norm.mean.variable, "bn/moving_mean");
  EXPECT_EQ(norm.gamma.variable, "bn/gamma");
  EXPECT_EQ(norm.channel_axis, 1);
}

void Moments(BodyBuilder& body, const std::vector<double>& axes) {
  body.Ints("axes", {static_cast<std::int64_t>(axes.size())}, axes);
  body.Add("moments/mean", "Mean", {"x", "axes"});
  body.Add("moments/Squeeze", "Squeeze", {"moments/mean"});
  body.Add("moments/difference", "SquaredDifference", {"x", "moments/mean"});
  body.Add("moments/variance", "Mean", {"moments/difference", "axes"});
  body.Add("moments/Squeeze_1", "Squeeze", {"moments/variance"});
}

TEST(UnfusedBatchNorm, InTrainingModeItsStatisticsAreThoseItsUpdatesWrite) {
  GraphBuilder builder;
  builder.BatchNormVariables("bn");
  builder.top.Add("x", "Placeholder");
  Moments(builder.top, {0, 1, 2});
  Unfused{.mean = "moments/Squeeze", .variance = "moments/Squeeze_1"}.Build(builder.top);
  builder.MovingAverage("u", "bn/moving_mean", "moments/Squeeze");
  builder.MovingAverage("v", "bn/moving_variance", "moments/Squeeze_1");
  const OpBatchNorm norm = Only(builder);
  EXPECT_EQ(norm.mode, Mode::kTraining);
  EXPECT_EQ(norm.mean.kind, Kind::kBatch);
  EXPECT_EQ(norm.moving_mean, "bn/moving_mean");
  EXPECT_EQ(norm.moving_variance, "bn/moving_variance");
}

TEST(UnfusedBatchNorm, InstanceNormKeepsTheBatchAxisAndIsNotListed) {
  GraphBuilder builder;
  builder.BatchNormVariables("bn");
  builder.top.Add("x", "Placeholder");
  Moments(builder.top, {1, 2});
  Unfused{.mean = "moments/Squeeze", .variance = "moments/Squeeze_1"}.Build(builder.top);
  EXPECT_THAT(Found(builder).norms, IsEmpty());
}

TEST(UnfusedBatchNorm, AMergeOfBothStatisticsIsSwitched) {
  GraphBuilder builder;
  builder.BatchNormVariables("bn");
  builder.top.Add("x", "Placeholder");
  Moments(builder.top, {0, 1, 2});
  builder.top.Add("mean", "Merge", {"bn/moving_mean/read", "moments/Squeeze"});
  builder.top.Add("variance", "Merge", {"bn/moving_variance/read", "moments/Squeeze_1"});
  Unfused{.mean = "mean", .variance = "variance"}.Build(builder.top);
  const OpBatchNorm norm = Only(builder);
  EXPECT_EQ(norm.mode, Mode::kSwitched);
  EXPECT_EQ(norm.moving_mean, "bn/moving_mean");
}

TEST(Updates, HandWrittenInPlaceAssignmentsBehindRefSwitchAreFound) {
  GraphBuilder builder;
  builder.BatchNormVariables("bn");
  builder.top.Add("x", "Placeholder");
  builder.top.Add("phase", "Placeholder");
  Moments(builder.top, {0, 1, 2});
  builder.top.Floats("decay", {}, {0.9});
  builder.top.Floats("rest", {}, {0.1});
  builder.top.Add("ref", "RefSwitch", {"bn/moving_mean", "phase"});
  builder.top.Add("old", "Switch", {"bn/moving_mean/read", "phase"});
  builder.top.Add("kept", "Mul", {"old:1", "decay"});
  builder.top.Add("new", "Mul", {"moments/Squeeze", "rest"});
  builder.top.Add("sum", "Add", {"kept", "new"});
  builder.top.Add("assign", "Assign", {"ref:1", "sum"});
  Unfused{.mean = "moments/Squeeze", .variance = "moments/Squeeze_1"}.Build(builder.top);
  const OpBatchNorms found = Found(builder);
  ASSERT_THAT(found.updates, SizeIs(1));
  EXPECT_EQ(found.updates[0].variable, "bn/moving_mean");
  EXPECT_NEAR(found.updates[0].momentum.value(), 0.9, 1e-7);
}

TEST(Updates, AnAverageOfTheLossAndARestoreUpdateNothing) {
  GraphBuilder builder;
  builder.BatchNormVariables("bn");
  builder.Variable("loss/avg", false);
  builder.top.Add("x", "Placeholder");
  builder.Fused("bn", "x", false);
  builder.top.Ints("axes", {1}, {0});
  builder.top.Add("loss", "Mean", {"x", "axes"});
  builder.MovingAverage("u", "loss/avg", "loss");
  builder.top.Add("restore", "RestoreV2");
  builder.top.Add("restore/assign", "Assign", {"bn/moving_mean", "restore"});
  EXPECT_THAT(Found(builder).updates, IsEmpty());
}

TEST(Updates, TheHelpersOfZeroDebiasingAreNotTheStatistics) {
  GraphBuilder builder;
  builder.BatchNormVariables("bn");
  builder.Variable("bn/moving_mean/biased", false);
  builder.top.Add("x", "Placeholder");
  builder.Fused("bn", "x", true);
  builder.MovingAverage("u", "bn/moving_mean/biased", "bn/FusedBatchNormV3:1");
  builder.top.Floats("weight", {}, {0.1});
  builder.top.Add("truediv", "RealDiv", {"u", "weight"});
  builder.top.Add("assign", "Assign", {"bn/moving_mean", "truediv"});
  const OpBatchNorms found = Found(builder);
  ASSERT_THAT(found.updates, SizeIs(1));
  EXPECT_EQ(found.updates[0].variable, "bn/moving_mean");
  EXPECT_EQ(found.norms[0].moving_mean, "bn/moving_mean");
  EXPECT_NEAR(found.norms[0].momentum.value_or(0), 0.9, 1e-7);
}

TEST(Bodies, AFunctionThatCallsItselfEnds) {
  GraphBuilder builder;
  BodyBuilder body = builder.Function("f", 1);
  body.Add("call", "PartitionedCall", {"arg0"}).attrs["f"] = OpFunctionName{"f"};
  builder.Return("f", {"call"});
  builder.top.Add("x", "Placeholder");
  builder.top.Add("call", "PartitionedCall", {"x"}).attrs["f"] = OpFunctionName{"f"};
  const OpBodies bodies(builder.graph);
  EXPECT_THAT(bodies.Origins({{0, 1}, 0}).values, IsEmpty());
}

}  // namespace
}  // namespace ckpt::testing::batch_norm_ops_test
