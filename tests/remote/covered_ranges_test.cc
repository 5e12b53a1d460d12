#include "formats/remote/covered_ranges.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace ckpt::formats::covered_ranges_test {
namespace {

TEST(CoveredRanges, JoinsWhatTouches) {
  CoveredRanges ranges;
  ranges.Add({0, 10});
  ranges.Add({20, 30});
  EXPECT_FALSE(ranges.Covers({0, 30}));
  EXPECT_EQ(ranges.Missing({5, 25}), (std::vector<ByteRange>{{10, 20}}));
  ranges.Add({10, 20});
  EXPECT_TRUE(ranges.Covers({0, 30}));
}

TEST(CoveredRanges, AgreesWithAListOfBytes) {
  std::mt19937 random(7);
  const auto any = [&] { return static_cast<std::uint64_t>(random() % 100); };
  for (int round = 0; round < 200; ++round) {
    CoveredRanges ranges;
    std::vector<bool> bytes(100, false);
    for (int step = 0; step < 12; ++step) {
      const std::uint64_t a = any(), b = any();
      const ByteRange range{std::min(a, b), std::max(a, b)};
      const bool adds = random() % 3 != 0;
      adds ? ranges.Add(range) : ranges.Remove(range);
      for (std::uint64_t i = range.begin; i < range.end; ++i) bytes[i] = adds;
      const std::uint64_t c = any(), d = any();
      const ByteRange asked{std::min(c, d), std::max(c, d)};
      std::vector<bool> missing(100, false);
      bool any_there = false, all_there = true;
      for (const ByteRange& part : ranges.Missing(asked)) {
        for (std::uint64_t i = part.begin; i < part.end; ++i) missing[i] = true;
      }
      for (std::uint64_t i = 0; i < 100; ++i) {
        const bool inside = i >= asked.begin && i < asked.end;
        ASSERT_EQ(missing[i], inside && !bytes[i]);
        any_there = any_there || (inside && bytes[i]);
        all_there = all_there && (!inside || bytes[i]);
      }
      ASSERT_EQ(ranges.Covers(asked), all_there);
      ASSERT_EQ(ranges.Touches(asked), any_there);
    }
  }
}

}  // namespace
}  // namespace ckpt::formats::covered_ranges_test
