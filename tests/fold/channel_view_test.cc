#include "fold/channel_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/fold/reference_ops.h"

namespace ckpt::channel_view_test {
namespace {

using testing::Array;
using testing::ForEachIndex;
using testing::Index;
using testing::Kernel;

struct Case {
  const char* name;
  KernelLayout layout;
  Index shape;
  std::int64_t groups;
};
void PrintTo(const Case& test, std::ostream* out) { *out << test.name; }

class ChannelViewTest : public ::testing::TestWithParam<Case> {};

Shape ShapeOf(const Index& dims) { return *Shape::FromDims(dims); }

// Which channels a flat element joins, by searching every (out, in, position) of the definition.
TEST_P(ChannelViewTest, AgreesWithTheDefinitionOfTheLayout) {
  const Case& test = GetParam();
  const auto views = ViewsOf(ShapeOf(test.shape), test.layout, test.groups);
  ASSERT_TRUE(views) << ToString(views.error());
  Kernel kernel{Array(test.shape), test.layout, test.groups};
  for (std::size_t e = 0; e < kernel.weights.data.size(); ++e) {
    kernel.weights.data[e] = static_cast<double>(e + 1);
  }
  ASSERT_EQ(views->out_channels, static_cast<std::uint64_t>(kernel.Out()));
  ASSERT_EQ(views->in_channels, static_cast<std::uint64_t>(kernel.In()));

  std::size_t met = 0;
  for (std::int64_t o = 0; o < kernel.Out(); ++o) {
    std::uint64_t terms = 0;
    for (std::int64_t i = 0; i < kernel.In(); ++i) {
      ForEachIndex(kernel.Spatial(), [&](const Index& k) {
        const double number = kernel.At(o, i, k);
        if (number == 0) return;
        ++terms;
        ++met;
        const auto e = static_cast<std::uint64_t>(number) - 1;
        ASSERT_EQ(views->out.ChannelOf(e), static_cast<std::uint64_t>(o)) << "element " << e;
        ASSERT_EQ(views->in.ChannelOf(e), static_cast<std::uint64_t>(i)) << "element " << e;
      });
    }
    EXPECT_EQ(views->terms, terms);
  }
  EXPECT_EQ(met, kernel.weights.data.size());
}

TEST_P(ChannelViewTest, CursorWalksTheSameChannels) {
  const Case& test = GetParam();
  const auto views = ViewsOf(ShapeOf(test.shape), test.layout, test.groups);
  ASSERT_TRUE(views);
  ChannelCursor out(views->out), in(views->in);
  for (std::uint64_t e = 0; e < ShapeOf(test.shape).element_count(); ++e) {
    ASSERT_EQ(out.channel(), views->out.ChannelOf(e)) << "element " << e;
    ASSERT_EQ(in.channel(), views->in.ChannelOf(e)) << "element " << e;
    out.Next();
    in.Next();
  }
}

constexpr auto kHwio = KernelLayout::kSpatialInOut;
constexpr auto kHwoi = KernelLayout::kSpatialOutIn;
constexpr auto kHwim = KernelLayout::kSpatialInMultiplier;
constexpr auto kOihw = KernelLayout::kOutInSpatial;
constexpr auto kIohw = KernelLayout::kInOutSpatial;

TEST_P(ChannelViewTest, RunsWalkTheSameChannelsHoweverTheElementsAreCut) {
  const Case& test = GetParam();
  const auto views = ViewsOf(ShapeOf(test.shape), test.layout, test.groups);
  ASSERT_TRUE(views);
  const std::uint64_t count = ShapeOf(test.shape).element_count();
  std::vector<std::uint64_t> numbers(count);
  for (std::uint64_t e = 0; e < count; ++e) numbers[e] = e;
  for (const ChannelView& view : {views->out, views->in}) {
    for (const std::size_t piece :
         {std::size_t{1}, std::size_t{7}, std::size_t{64}, numbers.size()}) {
      ChannelCursor cursor(view);
      std::uint64_t met = 0;
      for (std::size_t at = 0; at < numbers.size(); at += piece) {
        const auto cut = std::span(numbers).subspan(at, std::min(piece, numbers.size() - at));
        ForEachRun(
            cursor, cut, [&](std::span<std::uint64_t> run, std::uint64_t channel, bool same) {
              for (std::size_t i = 0; i < run.size(); ++i, ++met) {
                ASSERT_EQ(run[i], met);
                ASSERT_EQ(channel + (same ? 0 : i), view.ChannelOf(met)) << "element " << met;
              }
            });
      }
      EXPECT_EQ(met, count);
    }
  }
}

// First with every size different, then with sizes that agree, so that a wrong axis has the right
// length.
INSTANTIATE_TEST_SUITE_P(
    Layouts, ChannelViewTest,
    ::testing::Values(
        Case{"HWIO", kHwio, {3, 5, 4, 6}, 1}, Case{"HWIO2", kHwio, {3, 5, 2, 6}, 2},
        Case{"HWIO3", kHwio, {3, 5, 4, 6}, 3}, Case{"HWOI", kHwoi, {3, 5, 6, 4}, 1},
        Case{"HWIM", kHwim, {3, 5, 4, 2}, 1}, Case{"OIHW", kOihw, {6, 4, 3, 5}, 1},
        Case{"OIHW2", kOihw, {6, 2, 3, 5}, 2}, Case{"OIHW3", kOihw, {6, 4, 3, 5}, 3},
        Case{"IOHW", kIohw, {4, 6, 3, 5}, 1}, Case{"IOHW2", kIohw, {4, 3, 3, 5}, 2},
        Case{"DenseIO", kHwio, {4, 6}, 1}, Case{"DenseOI", kOihw, {6, 4}, 1},
        Case{"WIO", kHwio, {3, 4, 6}, 1}, Case{"DHWIO", kHwio, {2, 3, 5, 4, 6}, 1},
        Case{"DHWOI", kHwoi, {2, 3, 5, 6, 4}, 1}, Case{"OIW", kOihw, {6, 4, 3}, 1},
        Case{"IODHW2", kIohw, {4, 3, 2, 3, 5}, 2}, Case{"OneByOne", kHwio, {1, 1, 4, 6}, 1},
        Case{"DepthwiseAsGroups", kOihw, {8, 1, 3, 5}, 4},
        Case{"SquareHWIO", kHwio, {3, 3, 3, 3}, 1}, Case{"SquareHWIO3", kHwio, {3, 3, 3, 9}, 3},
        Case{"SquareHWOI", kHwoi, {3, 3, 3, 3}, 1}, Case{"SquareHWIM", kHwim, {3, 3, 3, 3}, 1},
        Case{"SquareOIHW", kOihw, {3, 3, 3, 3}, 1}, Case{"SquareOIHW3", kOihw, {9, 3, 3, 3}, 3},
        Case{"SquareIOHW", kIohw, {3, 3, 3, 3}, 1}, Case{"SquareIOHW3", kIohw, {9, 3, 3, 3}, 3},
        Case{"SquareIO", kHwio, {4, 4}, 1}, Case{"SquareOI", kOihw, {4, 4}, 1}),
    [](const auto& test) { return test.param.name; });

TEST(ViewsOfTest, RefusesWhatIsNoKernel) {
  const auto refuses = [](const Index& dims, KernelLayout layout, std::int64_t groups) {
    const auto views = ViewsOf(ShapeOf(dims), layout, groups);
    return !views && views.error().code == ErrorCode::kUnfit;
  };
  EXPECT_TRUE(refuses({6}, kHwio, 1));
  EXPECT_TRUE(refuses({}, kOihw, 1));
  EXPECT_TRUE(refuses({3, 0, 6}, kHwio, 1));
  EXPECT_TRUE(refuses({3, 3, 4, 6}, kHwio, 0));
  EXPECT_TRUE(refuses({3, 3, 4, 6}, kHwio, -2));
  EXPECT_TRUE(refuses({3, 3, 4, 6}, kHwio, 4));  // 6 out channels in 4 groups
  EXPECT_TRUE(refuses({4, 6, 3, 3}, kIohw, 3));  // 4 in channels in 3 groups
  EXPECT_TRUE(refuses({3, 3, 4, 6}, kHwim, 2));  // never grouped
  EXPECT_TRUE(refuses({3, 3, 4, 6}, kHwoi, 2));
  EXPECT_TRUE(refuses({1, std::int64_t{1} << 40}, kHwio, 1));
  EXPECT_TRUE(refuses({6, 4, 3, 3}, kOihw, std::int64_t{1} << 62));
}

}  // namespace
}  // namespace ckpt::channel_view_test
