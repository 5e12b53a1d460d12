// What operations yield is what their definitions say, not what an attribute is called.
#include "ckpt/op_outputs.h"

#include <gtest/gtest.h>

namespace ckpt::testing::op_outputs_test {
namespace {

constexpr OpDtype kFloat{1}, kInt32{3}, kUint8{4}, kString{7}, kComplex64{8}, kInt64{9};

Op Make(std::string type, std::map<std::string, OpAttr, std::less<>> attrs = {}) {
  Op op;
  op.name = "op";
  op.type = std::move(type);
  op.attrs = std::move(attrs);
  return op;
}

TEST(OpOutputs, TheTypeOfAnInputIsNotTheTypeOfTheOutput) {
  EXPECT_EQ(OutputDtype(Make("ResizeBilinear", {{"T", kUint8}}), 0), kFloat);
  EXPECT_EQ(OutputDtype(Make("ResizeNearestNeighbor", {{"T", kUint8}}), 0), kUint8);
  EXPECT_EQ(OutputDtype(Make("AsString", {{"T", kInt32}}), 0), kString);
  EXPECT_EQ(OutputDtype(Make("ComplexAbs", {{"T", kComplex64}, {"Tout", kFloat}}), 0), kFloat);
  EXPECT_EQ(OutputDtype(Make("Bucketize", {{"T", kFloat}}), 0), kInt32);
  EXPECT_EQ(OutputDtype(Make("Bitcast", {{"T", kFloat}, {"type", kInt32}}), 0), kInt32);
  EXPECT_EQ(OutputDtype(Make("FakeQuantWithMinMaxVars"), 0), kFloat);
}

TEST(OpOutputs, AnAttributeThatIsNotRecordedHasTheDefaultOfTheDefinition) {
  EXPECT_EQ(OutputDtype(Make("ArgMax", {{"T", kFloat}}), 0), kInt64);
  EXPECT_EQ(OutputDtype(Make("ArgMax", {{"T", kFloat}, {"output_type", kInt32}}), 0), kInt32);
  EXPECT_EQ(OutputDtype(Make("Shape", {{"T", kFloat}}), 0), kInt32);
  EXPECT_EQ(OutputDtype(Make("Relu"), 0), std::nullopt);
  // Taken from the function that the operation stands in: not the default.
  EXPECT_EQ(OutputDtype(Make("ArgMax", {{"output_type", OpOpaque{}}}), 0), std::nullopt);
}

TEST(OpOutputs, EachOutputHasItsOwnType) {
  const Op unique = Make("Unique", {{"T", kFloat}, {"out_idx", kInt64}});
  EXPECT_EQ(OutputDtype(unique, 0), kFloat);
  EXPECT_EQ(OutputDtype(unique, 1), kInt64);
  EXPECT_EQ(OutputDtype(unique, 2), std::nullopt);
  EXPECT_EQ(OutputDtype(Make("CombinedNonMaxSuppression"), 3), kInt32);
  const Op split = Make("Split", {{"T", kFloat}, {"num_split", std::int64_t{3}}});
  EXPECT_EQ(OutputDtype(split, 2), kFloat);
  EXPECT_EQ(OutputDtype(split, 3), std::nullopt);
  const Op next = Make("IteratorGetNext", {{"output_types", std::vector<OpDtype>{kFloat, kInt64}}});
  EXPECT_EQ(OutputDtype(next, 1), kInt64);
  EXPECT_EQ(OutputDtype(next, 2), std::nullopt);
}

TEST(OpOutputs, ReferencesAreToldAsWhatTheyReferTo) {
  EXPECT_EQ(OutputDtype(Make("VariableV2", {{"dtype", kFloat}}), 0), kFloat);
  EXPECT_EQ(OutputDtype(Make("RefIdentity", {{"T", OpDtype{101}}}), 0), kFloat);
}

TEST(OpOutputs, OperationsOfOthersAreNotGuessed) {
  EXPECT_EQ(OutputDtype(Make("MyOwnKernel", {{"T", kFloat}}), 0), std::nullopt);
  EXPECT_EQ(OutputDtype(Make("NoOp"), 0), std::nullopt);
}

TEST(OpOutputs, ArgumentsHaveTheirPlaceBehindThoseOfSeveralTensors) {
  EXPECT_EQ(OutputPlace(Make("FusedBatchNormV3"), "batch_variance"), 2u);
  const Op parse = Make("ParseExampleV2", {{"num_sparse", std::int64_t{2}},
                                           {"sparse_types", std::vector<OpDtype>{kFloat, kInt64}},
                                           {"Tdense", std::vector<OpDtype>{kFloat}}});
  EXPECT_EQ(OutputPlace(parse, "sparse_indices"), 0u);
  EXPECT_EQ(OutputPlace(parse, "sparse_values"), 2u);
  EXPECT_EQ(OutputPlace(parse, "dense_values"), 6u);
  EXPECT_EQ(OutputDtype(parse, 3), kInt64);
  EXPECT_EQ(OutputDtype(parse, 6), kFloat);
  EXPECT_EQ(OutputPlace(Make("FusedBatchNormV3"), "nothing"), std::nullopt);
}

// Counts of a hostile file.
TEST(OpOutputs, CountsBeyondReasonAreNoCounts) {
  for (const std::int64_t count : {std::int64_t{-1}, std::int64_t{1} << 40}) {
    const Op split = Make("Split", {{"T", kFloat}, {"num_split", count}});
    EXPECT_EQ(OutputDtype(split, 0), std::nullopt) << count;
  }
}

}  // namespace
}  // namespace ckpt::testing::op_outputs_test
