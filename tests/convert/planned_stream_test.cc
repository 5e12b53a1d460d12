// The bytes of planned tensors: bounded pieces, the same whatever the pieces of the source are.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <numeric>

#include "tests/convert/planned.h"

namespace ckpt::planned_stream_test {
namespace {

using testing::BytesOf;
using testing::MemoryCheckpoint;

constexpr std::int64_t kRows = 211, kColumns = 997;  // more than two pieces, no multiple of one

MemoryCheckpoint Matrix(Dtype dtype = Dtype::kF32) {
  MemoryCheckpoint checkpoint;
  std::vector<double> values(kRows * kColumns);
  for (std::size_t e = 0; e < values.size(); ++e) values[e] = static_cast<double>(e % 1999) / 8;
  checkpoint.Add("w", {kRows, kColumns}, values, dtype);
  checkpoint.Seal();
  return checkpoint;
}

ConversionPlan PlanWith(const MemoryCheckpoint& checkpoint, Content content, Dtype dtype) {
  ConversionPlan plan;
  TensorInfo info = checkpoint.manifest().tensors[0];
  info.dtype = dtype;
  info.byte_size = info.shape.element_count() * BitSize(dtype) / 8;
  plan.tensors.push_back({info, std::move(content)});
  return plan;
}

ScaledKernel Scaled() {
  ScaledKernel scaled{.source = TensorId{0},
                      .out_view = {.channels_per_group = kColumns},
                      .in_view = {.channels_per_group = kRows, .inner = kColumns}};
  for (std::int64_t c = 0; c < kColumns; ++c) {
    scaled.out_factors.push_back(static_cast<double>(c + 1));
  }
  for (std::int64_t r = 0; r < kRows; ++r) {
    scaled.in_factors.push_back(r % 2 == 0 ? 1.0 : -2.0);
  }
  return scaled;
}

TEST(PlannedStreamTest, ScalesByRowAndColumn) {
  const auto checkpoint = Matrix();
  const auto bytes = BytesOf(checkpoint, PlanWith(checkpoint, Scaled(), Dtype::kF64), 0);
  std::vector<double> values(kRows * kColumns);
  DecodeToDouble(Dtype::kF64, bytes, values);
  for (std::size_t e = 0; e < values.size(); ++e) {
    const std::size_t row = e / kColumns, column = e % kColumns;
    ASSERT_EQ(values[e], static_cast<double>(e % 1999) / 8 * static_cast<double>(column + 1) *
                             (row % 2 == 0 ? 1.0 : -2.0))
        << e;
  }
}

TEST(PlannedStreamTest, PiecesOfTheSourceDoNotMatter) {
  auto checkpoint = Matrix();
  for (const Content& content : {Content(Scaled()), Content(CopyOf{TensorId{0}})}) {
    for (const Dtype dtype : {Dtype::kF16, Dtype::kF32}) {
      const auto plan = PlanWith(checkpoint, content, dtype);
      checkpoint.chunk_bytes = 1 << 24;
      const auto whole = BytesOf(checkpoint, plan, 0);
      for (const std::size_t chunk : {4U, 12U, 1000U, 65536U, 65540U}) {
        checkpoint.chunk_bytes = chunk;
        ASSERT_EQ(BytesOf(checkpoint, plan, 0), whole) << chunk;
      }
    }
  }
}

TEST(PlannedStreamTest, PiecesStaySmall) {
  auto checkpoint = Matrix();
  checkpoint.chunk_bytes = 1 << 24;
  const auto plan = PlanWith(checkpoint, Scaled(), Dtype::kF32);
  auto stream = OpenPlanned(checkpoint, plan, 0);
  ASSERT_TRUE(stream);
  std::size_t pieces = 0;
  while (true) {
    const auto piece = (*stream)->Next();
    ASSERT_TRUE(piece);
    if (piece->empty()) break;
    ASSERT_LE(piece->size(), std::size_t{1} << 18);
    ++pieces;
  }
  EXPECT_GE(pieces, kRows * kColumns * 4 >> 18);
}

TEST(PlannedStreamTest, ACopyIsTheSourceByteForByte) {
  const auto checkpoint = Matrix(Dtype::kBF16);
  const auto source = ReadBytes(checkpoint, TensorId{0}, 1 << 24);
  ASSERT_TRUE(source);
  EXPECT_EQ(BytesOf(checkpoint, PlanWith(checkpoint, CopyOf{TensorId{0}}, Dtype::kBF16), 0),
            *source);
}

TEST(PlannedStreamTest, ConstantsAreEncodedOnce) {
  const auto checkpoint = Matrix();
  ConversionPlan plan;
  TensorInfo info;
  info.name = "b";
  info.dtype = Dtype::kF16;
  info.shape = *Shape::FromDims({3});
  info.byte_size = 6;
  plan.tensors.push_back({info, Constant{{1, -0.0, 65504}}});
  const std::vector<unsigned> expected = {0x00, 0x3C, 0x00, 0x80, 0xFF, 0x7B};
  const auto bytes = BytesOf(checkpoint, plan, 0);
  ASSERT_EQ(bytes.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(std::to_integer<unsigned>(bytes[i]), expected[i]) << i;
  }
}

TEST(PlannedStreamTest, EmptyTensors) {
  MemoryCheckpoint checkpoint;
  checkpoint.Add("w", {0, 3}, {});
  checkpoint.Seal();
  EXPECT_TRUE(
      BytesOf(checkpoint, PlanWith(checkpoint, CopyOf{TensorId{0}}, Dtype::kF32), 0).empty());
  EXPECT_TRUE(
      BytesOf(checkpoint, PlanWith(checkpoint, CopyOf{TensorId{0}}, Dtype::kF16), 0).empty());
}

// A source that yields less than its shape asks for is damage, not a short tensor.
TEST(PlannedStreamTest, ASourceOfTheWrongSizeIsCorrupt) {
  for (const std::int64_t columns : {kColumns - 1, kColumns + 1}) {
    auto checkpoint = Matrix();
    const auto plan = PlanWith(checkpoint, Scaled(), Dtype::kF32);
    checkpoint.mutable_manifest().tensors[0].shape = *Shape::FromDims({kRows, columns});
    auto stream = OpenPlanned(checkpoint, plan, 0);
    ASSERT_TRUE(stream);
    Result<std::span<const std::byte>> piece = (*stream)->Next();
    while (piece && !piece->empty()) piece = (*stream)->Next();
    ASSERT_FALSE(piece);
    EXPECT_EQ(piece.error().code, ErrorCode::kCorrupt);
    EXPECT_EQ(piece.error().tensor, "w");
  }
}

TEST(PlannedStreamTest, ReadErrorsArePassedOn) {
  auto checkpoint = Matrix();
  checkpoint.Break("w", {ErrorCode::kIo, "gone", "file", {}, "w"});
  for (const Content& content : {Content(Scaled()), Content(CopyOf{TensorId{0}})}) {
    const auto plan = PlanWith(checkpoint, content, Dtype::kF32);
    const auto stream = OpenPlanned(checkpoint, plan, 0);
    ASSERT_FALSE(stream);
    EXPECT_EQ(stream.error().code, ErrorCode::kIo);
  }
}

// What the whole conversion says: the audit by default reads batch norms alone.
Status Converted(const std::vector<double>& weight, Dtype dtype, bool allow_findings) {
  MemoryCheckpoint checkpoint;
  checkpoint.Add("dense/kernel", {1, static_cast<std::int64_t>(weight.size())}, weight, dtype);
  checkpoint.Seal();
  ConvertOptions options;
  options.allow_findings = allow_findings;
  const auto plan = testing::PlanOf(checkpoint, options);
  return plan ? ReadPlanned(checkpoint, *plan) : Fail(plan);
}

TEST(PlannedStreamTest, AWeightThatIsNotFiniteStopsTheConversion) {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  constexpr double kInf = std::numeric_limits<double>::infinity();
  for (const Dtype dtype : {Dtype::kF32, Dtype::kF64, Dtype::kF16, Dtype::kBF16}) {
    for (const double bad : {kNan, kInf, -kInf}) {
      for (const std::vector<double>& weight :
           {std::vector{1.0, bad}, {bad, 1.0}, {0.0, bad, 0.0, 2.0}}) {
        const Status status = Converted(weight, dtype, false);
        ASSERT_FALSE(status);
        EXPECT_EQ(status.error().code, ErrorCode::kUnfit);
        EXPECT_EQ(status.error().tensor, "dense/kernel");
        EXPECT_TRUE(Converted(weight, dtype, true));
      }
    }
    EXPECT_FALSE(Converted({0.0, kNan}, dtype, false));
    EXPECT_TRUE(Converted({0.0, -kInf, 0.0}, dtype, false));  // an attention mask
    EXPECT_TRUE(Converted({0.0, 1.0, -2.0}, dtype, false));
  }
}

}  // namespace
}  // namespace ckpt::planned_stream_test
