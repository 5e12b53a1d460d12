// Small extents of kernels are ints here.
#pragma GCC diagnostic ignored "-Wsign-conversion"

// Elements in another order, against index arithmetic written out here.
#include "ckpt/axis_order.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "layout/reordered_array.h"
#include "tests/support/memory_checkpoint.h"

namespace ckpt::testing::axis_order_test {
namespace {

using Dims = std::vector<std::int64_t>;

// 0, 1, 2, ... in an array of these dimensions, put in `order`.
std::vector<double> Reordered(const Dims& dims, const AxisOrder& order,
                              std::size_t budget = kPermutedBudget, Dtype dtype = Dtype::kF32) {
  std::int64_t count = 1;
  for (const std::int64_t dim : dims) count *= dim;
  std::vector<double> values;
  for (std::int64_t i = 0; i < count; ++i) values.push_back(static_cast<double>(i));
  MemoryCheckpoint checkpoint;
  checkpoint.Add("w", dims, values, dtype);
  const auto stream =
      Permute([&] { return checkpoint.Open(TensorId{0}); }, BitSize(dtype) / 8, order, budget);
  std::vector<std::byte> bytes;
  while (true) {
    const auto piece = stream->Next();
    EXPECT_TRUE(piece);
    if (!piece || piece->empty()) break;
    bytes.insert(bytes.end(), piece->begin(), piece->end());
  }
  EXPECT_EQ(bytes.size(), values.size() * BitSize(dtype) / 8);
  std::vector<double> out(bytes.size() * 8 / BitSize(dtype));
  DecodeToDouble(dtype, bytes, out);
  return out;
}

AxisOrder Between(const Dims& dims, KernelLayout from, KernelLayout to, std::int64_t m = 1) {
  const auto order = OrderBetween(*Shape::FromDims(dims), from, to, m);
  EXPECT_TRUE(order) << (order ? "" : order.error().message);
  return order ? *order : AxisOrder{};
}

TEST(AxisOrder, ConvolutionFromChannelsLastToFirst) {
  const AxisOrder order =
      Between({2, 3, 4, 5}, KernelLayout::kSpatialInOut, KernelLayout::kOutInSpatial);
  EXPECT_EQ(order.result, *Shape::FromDims({5, 4, 2, 3}));
  EXPECT_EQ(order.name, "HWIO -> OIHW");
  const auto got = Reordered({2, 3, 4, 5}, order);
  std::size_t at = 0;
  for (int o = 0; o < 5; ++o)
    for (int i = 0; i < 4; ++i)
      for (int h = 0; h < 2; ++h)
        for (int w = 0; w < 3; ++w, ++at) ASSERT_EQ(got[at], ((h * 3 + w) * 4 + i) * 5 + o);
}

TEST(AxisOrder, DepthwiseWithMultiplier) {
  const AxisOrder order =
      Between({2, 3, 4, 5}, KernelLayout::kSpatialInMultiplier, KernelLayout::kOutInSpatial);
  EXPECT_EQ(order.result, *Shape::FromDims({20, 1, 2, 3}));
  EXPECT_EQ(order.name, "depthwise HWIM -> OIHW");
  const auto got = Reordered({2, 3, 4, 5}, order);
  for (int i = 0, at = 0; i < 4; ++i)
    for (int m = 0; m < 5; ++m)
      for (int h = 0; h < 2; ++h)
        for (int w = 0; w < 3; ++w, ++at) ASSERT_EQ(got[at], ((h * 3 + w) * 4 + i) * 5 + m);
}

TEST(AxisOrder, DenseBehindAFlatten) {
  // 6 places, 4 channels, 5 outputs.
  const auto order = OrderBehindFlatten(*Shape::FromDims({24, 5}), KernelLayout::kSpatialInOut, 4);
  ASSERT_TRUE(order);
  EXPECT_EQ(order->result, *Shape::FromDims({5, 24}));
  const auto got = Reordered({24, 5}, *order);
  for (int o = 0, at = 0; o < 5; ++o)
    for (int c = 0; c < 4; ++c)
      for (int s = 0; s < 6; ++s, ++at) ASSERT_EQ(got[at], (s * 4 + c) * 5 + o);
  EXPECT_FALSE(OrderBehindFlatten(*Shape::FromDims({24, 5}), KernelLayout::kSpatialInOut, 7));
}

// There and back is where one began, in every layout, type and number of passes.
TEST(AxisOrder, InverseAndPasses) {
  const struct {
    Dims dims;
    KernelLayout from, to;
    std::int64_t multiplier;
  } cases[] = {
      {{3, 4}, KernelLayout::kSpatialInOut, KernelLayout::kOutInSpatial, 1},
      {{3, 4, 5}, KernelLayout::kSpatialInOut, KernelLayout::kOutInSpatial, 1},
      {{2, 3, 4, 5}, KernelLayout::kSpatialOutIn, KernelLayout::kInOutSpatial, 1},
      {{2, 2, 3, 4, 5}, KernelLayout::kSpatialInOut, KernelLayout::kOutInSpatial, 1},
      {{3, 3, 4, 2}, KernelLayout::kSpatialInMultiplier, KernelLayout::kOutInSpatial, 2},
  };
  for (const auto& test : cases) {
    const AxisOrder there = Between(test.dims, test.from, test.to, test.multiplier);
    const Dims middle(there.result.dims().begin(), there.result.dims().end());
    const AxisOrder back = Between(middle, test.to, test.from, test.multiplier);
    EXPECT_EQ(back.result, *Shape::FromDims(test.dims)) << there.name;
    for (const std::size_t budget : {std::size_t{1}, std::size_t{40}, kPermutedBudget}) {
      for (const Dtype dtype : {Dtype::kF32, Dtype::kF64, Dtype::kU8, Dtype::kBF16}) {
        const auto moved = Reordered(test.dims, there, budget, dtype);
        MemoryCheckpoint checkpoint;
        checkpoint.Add("w", middle, moved, dtype);
        const auto stream =
            Permute([&] { return checkpoint.Open(TensorId{0}); }, BitSize(dtype) / 8, back, budget);
        double expected = 0;
        while (true) {
          const auto piece = stream->Next();
          ASSERT_TRUE(piece);
          if (piece->empty()) break;
          std::vector<double> values(piece->size() * 8 / BitSize(dtype));
          DecodeToDouble(dtype, *piece, values);
          for (const double value : values) ASSERT_EQ(value, expected++) << there.name;
        }
        EXPECT_EQ(expected, static_cast<double>(moved.size()));
      }
    }
  }
}

TEST(AxisOrder, OfNoKernelIsRefused) {
  EXPECT_FALSE(OrderBetween(*Shape::FromDims({3}), KernelLayout::kSpatialInOut,
                            KernelLayout::kOutInSpatial));
  EXPECT_FALSE(OrderBetween(*Shape::FromDims({3, 3, 4, 2}), KernelLayout::kSpatialInOut,
                            KernelLayout::kInOutSpatial));
  EXPECT_FALSE(OrderBetween(*Shape::FromDims({8, 2, 3, 3}), KernelLayout::kOutInSpatial,
                            KernelLayout::kSpatialInMultiplier, 2));
  EXPECT_FALSE(OrderBetween(*Shape::FromDims({8, 1, 3, 3}), KernelLayout::kOutInSpatial,
                            KernelLayout::kSpatialInMultiplier, 3));
}

TEST(Permuted, StreamOfAnotherSizeIsRefused) {
  MemoryCheckpoint checkpoint;
  checkpoint.Add("w", {2, 3}, {1, 2, 3, 4, 5, 6});
  for (const Dims& dims : {Dims{2, 4}, Dims{2, 2}}) {
    const AxisOrder order = Between(dims, KernelLayout::kSpatialInOut, KernelLayout::kOutInSpatial);
    const auto stream = Permute([&] { return checkpoint.Open(TensorId{0}); }, 4, order);
    const auto piece = stream->Next();
    ASSERT_FALSE(piece);
    EXPECT_EQ(piece.error().code, ErrorCode::kCorrupt);
  }
}

// Element i of the source is the bytes of i, cut or filled to the size.
std::vector<std::byte> Numbered(std::size_t count, std::size_t size) {
  std::vector<std::byte> bytes(count * size);
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t b = 0; b < std::min<std::size_t>(size, 4); ++b) {
      bytes[i * size + b] = static_cast<std::byte>(i >> (8 * b));
    }
  }
  return bytes;
}

// By the definition: every index of the result, looked up in the source.
std::vector<std::byte> ByDefinition(const AxisOrder& order, std::size_t size) {
  const std::size_t rank = order.split.size(), count = order.result.element_count();
  const std::vector<std::byte> source = Numbered(count, size);
  std::vector<std::byte> result;
  std::vector<std::int64_t> index(rank, 0);  // of the result
  for (std::size_t i = 0; i < count; ++i) {
    std::vector<std::int64_t> at(rank);
    for (std::size_t k = 0; k < rank; ++k) at[order.axes[k]] = index[k];
    std::int64_t place = 0;
    for (std::size_t axis = 0; axis < rank; ++axis) place = place * order.split[axis] + at[axis];
    const auto element = source.begin() + place * static_cast<std::ptrdiff_t>(size);
    result.insert(result.end(), element, element + static_cast<std::ptrdiff_t>(size));
    for (std::size_t k = rank; k-- > 0;) {
      if (++index[k] < order.split[order.axes[k]]) break;
      index[k] = 0;
    }
  }
  return result;
}

// Sizes below, at and above those of the blocks; every order of the axes.
TEST(Reordered, EveryOrderOfAxesIsByTheDefinition) {
  for (const Dims& dims : {Dims{}, Dims{5}, Dims{16, 16}, Dims{33, 18}, Dims{2, 17, 35},
                           Dims{3, 3, 19, 16}, Dims{3, 1, 17, 1}, Dims{2, 3, 4, 5, 6}}) {
    AxisOrder order{dims, {}, *Shape::FromDims(dims)};
    for (std::size_t axis = 0; axis < dims.size(); ++axis) order.axes.push_back(axis);
    do {
      for (const std::size_t size : {1U, 2U, 3U, 4U, 8U, 16U}) {
        const auto source = Numbered(order.result.element_count(), size);
        const auto expected = ByDefinition(order, size);
        std::vector<std::byte> result(source.size());
        ReorderArray(order, size, source, result);
        ASSERT_EQ(result, expected) << ::testing::PrintToString(order.axes) << " of " << size;
        // In two parts, the source cut anywhere.
        for (const std::size_t at : {std::size_t{0}, source.size() / size / 3}) {
          const auto part = std::span(result).subspan(at * size);
          std::fill(part.begin(), part.end(), std::byte{0xEE});
          ArrayScatter scatter(order, size, at, part);
          scatter.Take(std::span(source).first(at * size));
          scatter.Take(std::span(source).subspan(at * size));
          ASSERT_EQ(result, expected) << ::testing::PrintToString(order.axes) << " from " << at;
        }
      }
    } while (std::next_permutation(order.axes.begin(), order.axes.end()));
  }
}

}  // namespace
}  // namespace ckpt::testing::axis_order_test
