// Which tensors are compared with each other, and what counts as a difference.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/diff/two_checkpoints.h"

namespace ckpt::testing::match_test {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// "a=b" per pair, "-a" removed, "+b" added.
std::vector<std::string> Pairs(const CheckpointDiff& diff) {
  std::vector<std::string> pairs;
  for (const TensorDiff& tensor : diff.tensors) {
    if (tensor.name_b.empty()) {
      pairs.push_back("-" + tensor.name_a);
    } else if (tensor.name_a.empty()) {
      pairs.push_back("+" + tensor.name_b);
    } else {
      pairs.push_back(tensor.name_a + "=" + tensor.name_b);
    }
  }
  return pairs;
}

TwoCheckpoints Named(const std::vector<std::string>& in_a, const std::vector<std::string>& in_b) {
  TwoCheckpoints two;
  for (const std::string& name : in_a) two.a.Add(name, {2}, {1, 2});
  for (const std::string& name : in_b) two.b.Add(name, {2}, {1, 2});
  return two;
}

TEST(Matching, ReportsAddedAndRemovedInOrderOfNames) {
  TwoCheckpoints two = Named({"c", "a"}, {"b", "c"});
  const CheckpointDiff diff = two.Compare();
  EXPECT_THAT(Pairs(diff), ElementsAre("-a", "+b", "c=c"));
  EXPECT_EQ(diff.added, 1u);
  EXPECT_EQ(diff.removed, 1u);
  EXPECT_EQ(diff.equal, 1u);
  EXPECT_FALSE(diff.within_tolerance);
  EXPECT_EQ(diff.identical, Identical::kNo);
  EXPECT_EQ(diff.mapping, "names");
}

TEST(Prefix, OfOneSideIsStrippedAndNamed) {
  TwoCheckpoints two = Named({"module.a.w", "module.b.w"}, {"a.w", "b.w"});
  const CheckpointDiff diff = two.Compare();
  EXPECT_THAT(Pairs(diff), ElementsAre("module.a.w=a.w", "module.b.w=b.w"));
  EXPECT_EQ(diff.mapping, "names, after stripping \"module.\" in A");
  ASSERT_EQ(diff.signatures.size(), 1u);
  EXPECT_EQ(diff.signatures[0].id, "prefix");
  EXPECT_EQ(diff.signatures[0].message, "all 2 names agree after stripping \"module.\" in A");
  EXPECT_EQ(diff.identical, Identical::kYes);
}

TEST(Prefix, MayBeAScopeOnEitherSide) {
  TwoCheckpoints two = Named({"net/a/w", "net/b/w"}, {"old/v1/a/w", "old/v1/b/w"});
  const CheckpointDiff diff = two.Compare();
  EXPECT_THAT(Pairs(diff), ElementsAre("net/a/w=old/v1/a/w", "net/b/w=old/v1/b/w"));
  EXPECT_EQ(diff.mapping, "names, after stripping \"net/\" in A and \"old/v1/\" in B");
}

TEST(Prefix, MayBeDeeper) {
  TwoCheckpoints two = Named({"a.w", "b.w"}, {"module._orig_mod.a.w", "module._orig_mod.b.w"});
  EXPECT_EQ(two.Compare().mapping, "names, after stripping \"module._orig_mod.\" in B");
}

TEST(Prefix, IsStrippedWhereNotAllTensorsHaveIt) {
  TwoCheckpoints two =
      Named({"module.a.w", "module.b.w", "module.c.w", "n_averaged"}, {"a.w", "b.w", "d.w"});
  const CheckpointDiff diff = two.Compare();
  EXPECT_THAT(Pairs(diff), ElementsAre("+d.w", "module.a.w=a.w", "module.b.w=b.w", "-module.c.w",
                                       "-n_averaged"));
  EXPECT_EQ(diff.signatures.at(0).message, "2 of 3 names agree after stripping \"module.\" in A");
}

TEST(Prefix, IsNotStrippedWhereNamesAgreeAlready) {
  TwoCheckpoints two = Named({"net/a", "net/b"}, {"net/a", "net/b", "a"});
  const CheckpointDiff diff = two.Compare();
  EXPECT_THAT(Pairs(diff), ElementsAre("+a", "net/a=net/a", "net/b=net/b"));
  EXPECT_THAT(diff.signatures, IsEmpty());
}

// Two runs of one program: Keras numbers layers anew, the objects stand where they stood.
TEST(StoredKeys, PairWhatAProgramNumberedAnew) {
  TwoCheckpoints two;
  for (int i = 0; i < 4; ++i) {
    const std::string key = "layer_with_weights-" + std::to_string(i) + "/kernel";
    const std::vector<double> values(static_cast<std::size_t>(4 * (i / 2 + 1)), i + 1.0);
    const std::vector<std::int64_t> dims = {static_cast<std::int64_t>(values.size())};
    two.a.Add("dense_" + std::to_string(i) + "/kernel", dims, values).stored_as = key;
    two.b.Add("dense_" + std::to_string(i + 1) + "/kernel", dims, values).stored_as = key;
  }
  const CheckpointDiff diff = two.Compare();
  EXPECT_EQ(diff.equal, 4u);
  EXPECT_EQ(diff.identical, Identical::kYes);
  for (const TensorDiff& tensor : diff.tensors)
    EXPECT_EQ(tensor.matched_by, MatchedBy::kStoredAs) << tensor.name_a;
  EXPECT_EQ(diff.mapping, "keys of the file (4)");
}

TEST(StoredKeys, DoNotCountWhereNamesAgree) {
  TwoCheckpoints two;
  two.a.Add("x", {1}, {1}).stored_as = "0";
  two.a.Add("y", {1}, {2}).stored_as = "1";
  two.b.Add("x", {1}, {1}).stored_as = "1";
  two.b.Add("y", {1}, {2}).stored_as = "0";
  EXPECT_EQ(two.Compare().identical, Identical::kYes);
}

TEST(FrozenGraph, ItsScalarsAndIntegersAreNotRemoved) {
  TwoCheckpoints two;
  two.AddBoth("conv/kernel", {2}, {1, 2});
  two.a.Add("keep_prob", {}, {0.5});
  two.a.Add("shape", {2}, {-1, 10}, Dtype::kI32);
  two.a.Add("means", {3}, {1, 2, 3});
  two.b.format_name = "other";
  two.a.Seal();
  two.b.Seal();
  auto ops = std::make_shared<OpGraph>();
  for (std::uint32_t i = 0; i < two.a.manifest().tensors.size(); ++i) {
    Op op;
    op.name = two.a.manifest().tensors[i].name;
    op.type = "Const";
    op.tensor = TensorId{i};
    ops->top.ops.push_back(std::move(op));
  }
  ops->top.Index();
  two.a.mutable_manifest().ops = std::move(ops);
  const auto diff = two.Again();
  ASSERT_TRUE(diff);
  for (const TensorDiff& tensor : diff->tensors)
    EXPECT_EQ(tensor.counts, tensor.name_a == "conv/kernel" || tensor.name_a == "means")
        << tensor.name_a;
}

TEST(Rename, MapsNamesAndStoredNames) {
  TwoCheckpoints two = Named({"conv/w", "fc"}, {"c1.weight", "fc"});
  two.b.mutable_manifest().tensors[0].stored_as = "key 7";
  EXPECT_THAT(Pairs(two.Compare({.rename = {{"conv/w", "key 7"}}})),
              ElementsAre("conv/w=c1.weight", "fc=fc"));
}

TEST(Rename, TakesATensorAwayFromItsOwnName) {
  TwoCheckpoints two = Named({"a"}, {"a"});
  EXPECT_THAT(Pairs(two.Compare({.rename = {{"a", "z"}}})), ElementsAre("-a", "+a"));
}

TEST(Rename, OfWhatIsNotThereIsRefused) {
  TwoCheckpoints two = Named({"a"}, {"a"});
  const auto diff = two.TryCompare({.rename = {{"aa", "a"}}});
  ASSERT_FALSE(diff);
  EXPECT_EQ(diff.error().code, ErrorCode::kInvalidArgument);
}

TEST(Globs, SelectByNameOrStoredName) {
  TwoCheckpoints two = Named({"conv1/kernel", "conv1/bias", "d/e/kernel"},
                             {"conv1/kernel", "conv1/bias", "d/e/kernel"});
  two.a.mutable_manifest().tensors[1].stored_as = "weird:0";
  EXPECT_THAT(Pairs(two.Compare({.only = {"*/kernel"}})),
              ElementsAre("conv1/kernel=conv1/kernel", "d/e/kernel=d/e/kernel"));
  EXPECT_THAT(Pairs(*two.Again({.only = {"weird:?"}})), ElementsAre("conv1/bias=conv1/bias"));
  EXPECT_THAT(Pairs(*two.Again({.ignore = {"conv[0-9]/*"}})), ElementsAre("d/e/kernel=d/e/kernel"));
  EXPECT_THAT(Pairs(*two.Again({.only = {"conv*"}, .ignore = {"*bias"}})),
              ElementsAre("conv1/kernel=conv1/kernel"));
}

TEST(TrainingState, CanBeLeftOut) {
  TwoCheckpoints two = Named({"w", "w/Adam", "w/ExponentialMovingAverage"}, {"w"});
  two.a.Add("global_step", {}, {100}, Dtype::kI64);
  two.b.Add("global_step", {}, {200}, Dtype::kI64);
  two.a.Add("bn.num_batches_tracked", {}, {7}, Dtype::kI64);
  EXPECT_FALSE(two.Compare().within_tolerance);
  const auto model = two.Again({.ignore_training_state = true});
  EXPECT_THAT(Pairs(*model), ElementsAre("w=w"));
  EXPECT_EQ(model->identical, Identical::kYes);
}

TEST(BatchCounters, OfOneSideCountWithinAFormatOnly) {
  TwoCheckpoints two = Named({"w"}, {"w"});
  two.a.Add("bn.num_batches_tracked", {}, {7}, Dtype::kI64);
  EXPECT_FALSE(two.Compare().within_tolerance);
  two.b.format_name = "another";
  const auto across = two.Again();
  EXPECT_TRUE(across->within_tolerance);
  EXPECT_EQ(across->identical, Identical::kNo);
  ASSERT_THAT(Pairs(*across), ElementsAre("-bn.num_batches_tracked", "w=w"));
  EXPECT_FALSE(across->tensors[0].counts);
}

TEST(BatchCounters, OfBothSidesAreCompared) {
  TwoCheckpoints two;
  two.a.Add("bn.num_batches_tracked", {}, {7}, Dtype::kI64);
  two.b.Add("bn.num_batches_tracked", {}, {8}, Dtype::kI64);
  two.b.format_name = "another";
  EXPECT_FALSE(two.Compare().within_tolerance);
}

TEST(Summary, KeepsStatisticsApartFromWeights) {
  TwoCheckpoints two;
  two.Add("conv/kernel", {1, 1}, {1, 1.5});
  two.Add("bn/moving_mean", {1, 1}, {1, 9});
  two.Add("bn/moving_variance", {1, 1}, {1, 3});
  two.Add("bn/gamma/Adam", {1, 1}, {1, 1000});
  const CheckpointDiff diff = two.Compare();
  EXPECT_EQ(diff.weights_max_abs, 0.5);
  EXPECT_EQ(diff.statistics_max_abs, 8);
  EXPECT_EQ(diff.tensors[1].role, Role::kMovingMean);
}

}  // namespace
}  // namespace ckpt::testing::match_test
