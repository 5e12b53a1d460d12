// Random networks: every batch norm is folded or kept, and the function stays the same.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "tests/fold/test_net.h"

namespace ckpt::partition_test {
namespace {

using testing::Border;
using testing::ExpectSameFunction;
using testing::Index;
using testing::LayerKind;
using testing::TestNet;

// Grows a network of some fifteen layers at random; unread values become outputs.
class RandomNet : public TestNet {
 public:
  explicit RandomNet(unsigned seed) : TestNet(seed), random_(seed) {
    open_.push_back(Input({2, 4, 4, 3}));
    for (int layer = 0; layer < 15; ++layer) Grow("l" + std::to_string(layer));
    for (const ValueId value : open_) Output(value);
  }

 private:
  std::size_t Pick(std::size_t count) {
    return std::uniform_int_distribution<std::size_t>(0, count - 1)(random_);
  }
  bool Chance(int percent) { return static_cast<int>(Pick(100)) < percent; }

  // A value to read next; now and then it stays there for another reader.
  ValueId Take() {
    const std::size_t at = Pick(open_.size());
    const ValueId value = open_[at];
    if (!Chance(15)) open_.erase(open_.begin() + static_cast<std::ptrdiff_t>(at));
    return value;
  }

  void Grow(const std::string& name) {
    const ValueId x = Take();
    const Index shape = x_shape(x);
    const auto channels = static_cast<std::int64_t>(2 + Pick(3));
    const testing::ConvOptions options = {.out = channels,
                                          .kernel = Chance(50) ? Index{1, 1} : Index{2, 2},
                                          .border = Chance(30) ? Border::kValid : Border::kSame,
                                          .bias = Chance(50),
                                          .activation = Chance(20) ? "relu" : "linear"};
    switch (Pick(12)) {
      case 0:
      case 1:
        return open_.push_back(shape[1] > 2 && shape[2] > 2 ? Conv(name, x, options) : x);
      case 2:
        return open_.push_back(shape[1] > 2 && shape[2] > 2 && shape[3] < 5
                                   ? Depthwise(name, x,
                                               {.out = 2,
                                                .kernel = options.kernel,
                                                .border = options.border,
                                                .bias = options.bias})
                                   : x);
      case 3:
        return open_.push_back(Dense(name, x, options));
      case 4:
        return open_.push_back(Activation(name, x, "relu"));
      case 5:
        return open_.push_back(Simple(name, LayerKind::kIdentity, {x}));
      case 6: {
        constexpr LayerKind kKinds[] = {LayerKind::kMaxPool, LayerKind::kAveragePool,
                                        LayerKind::kZeroPad, LayerKind::kUpsample};
        const LayerKind kind = kKinds[Pick(4)];
        const bool grows = kind == LayerKind::kZeroPad || kind == LayerKind::kUpsample;
        return open_.push_back(grows == (shape[1] < 4) ? Simple(name, kind, {x}) : x);
      }
      case 7: {
        const ValueId y = open_.empty() ? x : Take();
        const bool sum = x != y && shape == x_shape(y);
        const bool joinable = x != y && shape[1] == x_shape(y)[1] && shape[2] == x_shape(y)[2] &&
                              shape[3] + x_shape(y)[3] < 12;
        if (sum && Chance(50)) return open_.push_back(Simple(name, LayerKind::kAdd, {x, y}, {}));
        if (joinable) return open_.push_back(Simple(name, LayerKind::kConcat, {x, y}, 3));
        open_.push_back(x);
        if (x != y) open_.push_back(y);
        return;
      }
      default:
        batch_norms_.push_back(name);
        return open_.push_back(BatchNorm(name, x,
                                         {.axis = Chance(90) ? -1 : 3,
                                          .scale = Chance(80),
                                          .center = Chance(80),
                                          .zero_shift = Chance(20),
                                          .positive_gamma = Chance(50)}));
    }
  }

  std::vector<ValueId> open_;
  std::mt19937 random_;

 public:
  std::vector<std::string> batch_norms_;
};

TEST(PartitionTest, EveryBatchNormIsFoldedOrKeptAndTheFunctionStays) {
  std::map<FoldDirection, std::size_t> directions;
  std::size_t kept = 0;
  for (unsigned seed = 1; seed <= 300; ++seed) {
    RandomNet net(seed);
    if (testing::MaxAbs(net.Run()) == 0) continue;  // all behind dead activations
    const FoldPlan plan = ExpectSameFunction(net, {.leftover_affine = seed % 3 == 0});
    std::vector<std::string> accounted;
    for (const Folded& folded : plan.folded) {
      accounted.push_back(folded.batch_norm);
      ++directions[folded.direction];
      EXPECT_FALSE(folded.into.empty());
      EXPECT_GT(folded.error_bound, 0);
      EXPECT_FALSE(folded.evidence.empty());
    }
    for (const Kept& one : plan.kept) {
      accounted.push_back(one.batch_norm);
      EXPECT_FALSE(one.reason.empty()) << one.batch_norm;
      ++kept;
    }
    EXPECT_THAT(accounted, ::testing::UnorderedElementsAreArray(net.batch_norms_));
    EXPECT_EQ(plan.edits.removed.size(), plan.folded.size());
    if (::testing::Test::HasFailure()) FAIL() << "seed " << seed;
  }
  // The networks are worth something only if all of it happens in them.
  EXPECT_GT(directions[FoldDirection::kBackward], 100U);
  EXPECT_GT(directions[FoldDirection::kForward], 50U);
  EXPECT_GT(directions[FoldDirection::kMerged], 20U);
  EXPECT_GT(kept, 100U);
}

std::string Text(const FoldPlan& plan) {
  std::string text;
  for (const Folded& folded : plan.folded) {
    text += folded.batch_norm + " " + std::string(Name(folded.direction)) + " " +
            std::to_string(folded.error_bound * 1e9);
    for (const auto& into : folded.into) text += " " + into;
  }
  for (const Kept& one : plan.kept) text += one.batch_norm + ": " + one.reason;
  for (const FoldedTensor& tensor : plan.tensors) text += tensor.info.name;
  for (const auto& note : plan.notes) text += note;
  return text;
}

TEST(PartitionTest, TheSamePlanAndBytesEveryTimeAndInAnyPieces) {
  for (unsigned seed = 1; seed <= 20; ++seed) {
    RandomNet net(seed);
    const auto first = PlanFoldOf(net);
    ASSERT_TRUE(first);
    const auto written = net.Written(*first);
    for (const std::size_t chunk : {8U, 24U, 1U << 20}) {
      net.Checkpoint().chunk_bytes = chunk;
      const auto again = PlanFoldOf(net);
      ASSERT_TRUE(again);
      EXPECT_EQ(Text(*again), Text(*first));
      EXPECT_EQ(net.Written(*again), written);
    }
  }
}

TEST(PartitionTest, NamesAndShapesAreThoseOfTheInputOrNewBiases) {
  for (unsigned seed = 1; seed <= 50; ++seed) {
    RandomNet net(seed);
    const auto plan = PlanFoldOf(net);
    ASSERT_TRUE(plan);
    const Manifest& manifest = net.Checkpoint().manifest();
    std::set<std::string> names;
    for (const FoldedTensor& tensor : plan->tensors) {
      EXPECT_TRUE(names.insert(tensor.info.name).second) << tensor.info.name;
      EXPECT_EQ(tensor.info.byte_size, tensor.info.shape.element_count() * 8);
      EXPECT_EQ(tensor.info.checksum, std::nullopt);
      if (const auto id = FindTensor(manifest, tensor.info.name)) {
        EXPECT_EQ(tensor.info.shape, manifest.tensors[id->index].shape);
      } else {
        EXPECT_THAT(tensor.info.name,
                    ::testing::AnyOf(::testing::EndsWith("/bias"), ::testing::EndsWith("/gamma"),
                                     ::testing::EndsWith("/beta")));
      }
    }
    for (const TensorId id : plan->consumed) {
      EXPECT_FALSE(names.contains(manifest.tensors[id.index].name));
    }
  }
}

}  // namespace
}  // namespace ckpt::partition_test
