// Views of every kind against the plain formula: element i.. is at offset + sum of index * stride.
#include "formats/torch/strided_stream.h"

#include <gtest/gtest.h>

#include <cstring>

namespace ckpt::formats::strided_stream_test {
namespace {

struct View {
  std::vector<std::int64_t> dims, strides;
  std::uint64_t offset;
};

// A storage whose element i is the number i, as it would be read.
ReadStorage Counting(std::uint64_t* read_bytes = nullptr) {
  return [read_bytes](std::uint64_t offset, std::span<std::byte> out) -> Status {
    EXPECT_EQ(offset % 4, 0U);
    EXPECT_EQ(out.size() % 4, 0U);
    for (std::size_t i = 0; i < out.size() / 4; ++i) {
      const auto value = static_cast<std::uint32_t>(offset / 4 + i);
      std::memcpy(out.data() + 4 * i, &value, 4);
    }
    if (read_bytes != nullptr) *read_bytes += out.size();
    return {};
  };
}

std::vector<std::uint32_t> Stream(const View& view, std::uint64_t* read_bytes = nullptr) {
  const auto stream = GatherStrided(Counting(read_bytes), *Shape::FromDims(view.dims), view.strides,
                                    view.offset, 4);
  std::vector<std::uint32_t> values;
  while (true) {
    const auto chunk = stream->Next();
    EXPECT_TRUE(chunk);
    if (!chunk || chunk->empty()) return values;
    EXPECT_LE(chunk->size(), std::size_t{1} << 20);
    EXPECT_EQ(chunk->size() % 4, 0U);
    const std::size_t old = values.size();
    values.resize(old + chunk->size() / 4);
    std::memcpy(values.data() + old, chunk->data(), chunk->size());
  }
}

std::vector<std::uint32_t> Formula(const View& view) {
  std::vector<std::uint32_t> values;
  std::vector<std::int64_t> index(view.dims.size(), 0);
  while (true) {
    std::uint64_t place = view.offset;
    for (std::size_t i = 0; i < index.size(); ++i) {
      place += static_cast<std::uint64_t>(index[i] * view.strides[i]);
    }
    values.push_back(static_cast<std::uint32_t>(place));
    std::size_t axis = index.size();
    while (axis > 0 && ++index[axis - 1] == view.dims[axis - 1]) index[--axis] = 0;
    if (axis == 0) return values;
  }
}

class Strided : public ::testing::TestWithParam<View> {};

TEST_P(Strided, FollowsTheFormula) { EXPECT_EQ(Stream(GetParam()), Formula(GetParam())); }

INSTANTIATE_TEST_SUITE_P(
    Views, Strided,
    ::testing::Values(View{{4}, {3}, 5}, View{{1}, {9}, 2}, View{{}, {}, 7},
                      View{{2, 3}, {1, 2}, 0}, View{{3, 4}, {0, 1}, 0}, View{{3, 4}, {1, 0}, 0},
                      View{{2, 3, 4, 5}, {60, 1, 15, 3}, 0}, View{{2, 3, 4}, {1, 1, 1}, 0},
                      View{{2, 1, 3}, {5, 77, 2}, 1}, View{{5, 1, 1}, {7, 0, 3}, 0},
                      // A transposed matrix of 24 MB: more than one block.
                      View{{3000, 2000}, {1, 3000}, 0},
                      // Rows and columns with gaps, in blocks.
                      View{{2500, 2500}, {5200, 2}, 3},
                      // More than a window between neighbours of every axis but one.
                      View{{3, 2, 5}, {1, 20'000'000, 30'000'000}, 0}));

TEST(StridedStream, ATransposedMatrixIsNotReadOncePerRow) {
  std::uint64_t read_bytes = 0;
  const View view{{5000, 4000}, {1, 5000}, 0};
  Stream(view, &read_bytes);
  EXPECT_LE(read_bytes, 2 * std::uint64_t{4} * 5000 * 4000);
}

TEST(StridedStream, AFailureIsPassedOn) {
  const auto stream = GatherStrided(
      [](std::uint64_t, std::span<std::byte>) -> Status { return Fail(ErrorCode::kIo, "no"); },
      *Shape::FromDims({2, 3}), {1, 2}, 0, 4);
  const auto chunk = stream->Next();
  ASSERT_FALSE(chunk);
  EXPECT_EQ(chunk.error().code, ErrorCode::kIo);
}

TEST(IsContiguous, IgnoresAxesOfOne) {
  EXPECT_TRUE(IsContiguous(*Shape::FromDims({2, 1, 3}), std::vector<std::int64_t>{3, 99, 1}));
  EXPECT_TRUE(IsContiguous(*Shape::FromDims({}), std::vector<std::int64_t>{}));
  EXPECT_FALSE(IsContiguous(*Shape::FromDims({2, 3}), std::vector<std::int64_t>{1, 2}));
  EXPECT_FALSE(IsContiguous(*Shape::FromDims({2}), std::vector<std::int64_t>{0}));
}

}  // namespace
}  // namespace ckpt::formats::strided_stream_test
