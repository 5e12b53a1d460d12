// What is said of two tensors' values, against definitions written out here.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "tests/diff/two_checkpoints.h"

namespace ckpt::testing::values_test {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

// The metrics by their definitions, over values that the type holds exactly.
struct Expected {
  double max_abs = 0, max_rel = 0, cosine = 0, relative_norm = 0;
  std::uint64_t differing = 0, beyond = 0;

  Expected(const std::vector<double>& a, const std::vector<double>& b, double rtol, double atol) {
    long double dot = 0, aa = 0, bb = 0, apart = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
      const double distance = std::fabs(a[i] - b[i]);
      const double larger = std::max(std::fabs(a[i]), std::fabs(b[i]));
      max_abs = std::max(max_abs, distance);
      if (larger > 0) max_rel = std::max(max_rel, distance / larger);
      if (a[i] != b[i]) ++differing;
      if (!(distance <= atol + rtol * larger)) ++beyond;
      dot += static_cast<long double>(a[i]) * b[i];
      aa += static_cast<long double>(a[i]) * a[i];
      bb += static_cast<long double>(b[i]) * b[i];
      apart += static_cast<long double>(b[i] - a[i]) * (b[i] - a[i]);
    }
    cosine = static_cast<double>(dot / std::sqrt(aa * bb));
    relative_norm = static_cast<double>(std::sqrt(apart / aa));
  }
};

// Every finite value of a 16-bit or 8-bit type, in order: neighbours are one step apart.
std::vector<double> AllValues(Dtype dtype) {
  const unsigned bits = BitSize(dtype);
  std::vector<double> values;
  for (std::uint32_t pattern = 0; pattern < (1U << bits); ++pattern) {
    const std::byte bytes[2] = {static_cast<std::byte>(pattern & 0xFF),
                                static_cast<std::byte>(pattern >> 8)};
    double value = 0;
    DecodeToDouble(dtype, std::span(bytes).first(bits / 8), std::span(&value, 1));
    if (std::isfinite(value)) values.push_back(value);
  }
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
  return values;
}

std::vector<double> RandomValues(std::size_t count, Dtype dtype, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal(0, 1);
  std::vector<double> values(count);
  for (double& value : values) value = normal(random);
  std::vector<std::byte> bytes(count * BitSize(dtype) / 8);
  EncodeFromDouble(dtype, values, bytes);  // to values that the type holds
  DecodeToDouble(dtype, bytes, values);
  return values;
}

class FloatValues : public ::testing::TestWithParam<Dtype> {};

TEST_P(FloatValues, AreMeasuredByTheDefinitions) {
  const Dtype dtype = GetParam();
  const std::vector<double> a = RandomValues(5003, dtype, 1);
  std::vector<double> b = RandomValues(5003, dtype, 2);
  for (std::size_t i = 0; i < b.size(); i += 3) b[i] = a[i];  // some equal
  b[7] = 0;
  TwoCheckpoints two;
  two.Add("x", a, b, dtype);
  two.b.chunk_bytes = 1000;  // other borders than the 64 bytes of A
  const DiffOptions options{.rtol = 0.25, .atol = 0.5};
  const TensorDiff diff = Only(two.Compare(options));
  const Expected expected(a, b, options.rtol, options.atol);
  EXPECT_EQ(diff.status, TensorStatus::kChanged);
  EXPECT_EQ(diff.by, ComparedBy::kBytes);
  EXPECT_EQ(diff.elements, 5003u);
  EXPECT_EQ(diff.max_abs, expected.max_abs);
  EXPECT_EQ(diff.max_rel, expected.max_rel);
  EXPECT_EQ(diff.differing, expected.differing);
  EXPECT_EQ(diff.beyond_tolerance, expected.beyond);
  EXPECT_EQ(diff.non_finite, 0u);
  EXPECT_NEAR(diff.cosine, expected.cosine, 1e-13);
  EXPECT_NEAR(diff.relative_norm, expected.relative_norm, 1e-13 * expected.relative_norm);
}

INSTANTIATE_TEST_SUITE_P(All, FloatValues,
                         ::testing::Values(Dtype::kF32, Dtype::kF64, Dtype::kF16, Dtype::kBF16,
                                           Dtype::kF8E4M3FN, Dtype::kF8E5M2),
                         [](const auto& param) { return std::string(Name(param.param)); });

class SmallFloatSteps : public ::testing::TestWithParam<Dtype> {};

TEST_P(SmallFloatSteps, CountTheValuesBetween) {
  const std::vector<double> values = AllValues(GetParam());
  std::mt19937 random(3);
  for (int i = 0; i < 50; ++i) {
    const std::size_t from = random() % values.size(), to = random() % values.size();
    TwoCheckpoints two;
    two.Add("x", {1, values[from]}, {1, values[to]}, GetParam());
    EXPECT_EQ(Only(two.Compare()).max_ulp, from > to ? from - to : to - from)
        << values[from] << " " << values[to];
  }
}

INSTANTIATE_TEST_SUITE_P(All, SmallFloatSteps,
                         ::testing::Values(Dtype::kF16, Dtype::kBF16, Dtype::kF8E4M3FN,
                                           Dtype::kF8E5M2, Dtype::kF8E4M3FNUZ, Dtype::kF8E8M0),
                         [](const auto& param) { return std::string(Name(param.param)); });

template <class T>
T After(T value, int steps) {
  for (int i = 0; i < steps; ++i) value = std::nextafter(value, std::numeric_limits<T>::infinity());
  return value;
}

TEST(Steps, OfFloat32AreThoseOfNextafter) {
  for (const float from : {1.0F, -2.0F, 0.99999994F, -1e-45F, 0.0F, 1e-20F, 3e38F}) {
    std::vector<double> a(20, 1), b(20, 1);  // a whole vector lane and a rest
    a[17] = static_cast<double>(from);
    b[17] = static_cast<double>(After(from, 13));
    TwoCheckpoints two;
    two.Add("x", a, b);
    EXPECT_EQ(Only(two.Compare()).max_ulp, 13u) << from;
  }
}

TEST(Steps, OfFloat64AreThoseOfNextafter) {
  TwoCheckpoints two;
  two.Add("x", {1, -1e-310}, {After(1.0, 3), After(-1e-310, 5)}, Dtype::kF64);
  EXPECT_EQ(Only(two.Compare()).max_ulp, 5u);
}

TEST(Steps, ReachFromTheLowestToTheHighest) {
  const float most = std::numeric_limits<float>::max();
  TwoCheckpoints two;
  two.Add("x", {-static_cast<double>(most)}, {static_cast<double>(most)});
  // Both have 0x7F7FFFFF values above or below zero.
  EXPECT_EQ(Only(two.Compare()).max_ulp, 2u * 0x7F7FFFFFu);
}

TEST(Values, ThatAreEqualAreIdentical) {
  TwoCheckpoints two;
  two.AddBoth("x", {3}, {1, kNan, -2});
  const CheckpointDiff diff = two.Compare();
  EXPECT_EQ(diff.identical, Identical::kYes);
  EXPECT_TRUE(diff.within_tolerance);
  EXPECT_EQ(Only(diff).status, TensorStatus::kEqual);
  EXPECT_EQ(Only(diff).by, ComparedBy::kBytes);
  EXPECT_EQ(diff.equal, 1u);
  EXPECT_EQ(diff.bytes_read, 24u);
}

TEST(Nan, EqualsNanOnly) {
  TwoCheckpoints two;
  two.Add("x", {kNan, kNan, 1, 5}, {kNan, 2, kNan, 6});
  const TensorDiff diff = Only(two.Compare({.rtol = 10, .atol = 10}));
  EXPECT_EQ(diff.differing, 3u);
  EXPECT_EQ(diff.beyond_tolerance, 2u);
  EXPECT_EQ(diff.non_finite, 3u);
  EXPECT_EQ(diff.max_abs, 1);
  EXPECT_TRUE(std::isnan(diff.cosine));
  EXPECT_EQ(diff.nan_a, 2u);
  EXPECT_EQ(diff.nan_b, 2u);
  EXPECT_DOUBLE_EQ(diff.relative_norm, 0.2);  // of 5 and 6, the one pair that is finite
}

TEST(RelativeNorm, OfAChangeOfZerosIsInfinite) {
  TwoCheckpoints two;
  two.Add("x", {0, 0}, {0, 1e-30});
  EXPECT_EQ(Only(two.Compare()).relative_norm, kInf);
}

TEST(Nan, OfAnotherPayloadIsEqualAndNotIdentical) {
  const auto bytes = [](std::uint32_t pattern) {
    std::vector<std::byte> out(4);
    std::memcpy(out.data(), &pattern, 4);
    return out;
  };
  TwoCheckpoints two;
  two.a.AddBytes("x", {1}, bytes(0x7FC00000), Dtype::kF32);
  two.b.AddBytes("x", {1}, bytes(0xFFC00001), Dtype::kF32);
  const CheckpointDiff diff = two.Compare();
  EXPECT_EQ(Only(diff).status, TensorStatus::kEqual);
  EXPECT_FALSE(Only(diff).same_bits);
  EXPECT_EQ(diff.identical, Identical::kNo);
  EXPECT_TRUE(diff.within_tolerance);
}

TEST(Infinity, EqualsItselfOnlyWhateverTheTolerance) {
  TwoCheckpoints two;
  two.Add("x", {kInf, -kInf, kInf, kInf, 1}, {kInf, -kInf, -kInf, 3, 1});
  const TensorDiff diff = Only(two.Compare({.rtol = 1, .atol = 1e300}));
  EXPECT_EQ(diff.differing, 2u);
  EXPECT_EQ(diff.beyond_tolerance, 2u);
  EXPECT_EQ(diff.non_finite, 4u);
}

TEST(Zero, OfEitherSignIsEqualAndNotIdentical) {
  TwoCheckpoints two;
  two.Add("x", {0.0, 1}, {-0.0, 1});
  const CheckpointDiff diff = two.Compare();
  EXPECT_EQ(Only(diff).status, TensorStatus::kEqual);
  EXPECT_EQ(Only(diff).differing, 0u);
  EXPECT_EQ(Only(diff).max_ulp, 0u);
  EXPECT_EQ(diff.identical, Identical::kNo);
  EXPECT_TRUE(diff.within_tolerance);
}

TEST(RelativeTolerance, HoldsForTinyValues) {
  TwoCheckpoints two;
  two.Add("x", {1e-20, 3e-20}, {2e-20, 3e-20}, Dtype::kF64);
  EXPECT_FALSE(two.Compare({.rtol = 0.49}).within_tolerance);
  EXPECT_TRUE(two.Again({.rtol = 0.5})->within_tolerance);
  EXPECT_EQ(Only(*two.Again()).max_rel, 0.5);
}

TEST(Tolerance, IncludesItsBound) {
  TwoCheckpoints two;
  two.Add("x", {1, 4}, {1.5, 4});
  EXPECT_TRUE(two.Compare({.atol = 0.5}).within_tolerance);
  EXPECT_FALSE(two.Again({.atol = 0.4999})->within_tolerance);
  const TensorDiff within = Only(*two.Again({.atol = 0.5}));
  EXPECT_EQ(within.status, TensorStatus::kChanged);
  EXPECT_EQ(within.differing, 1u);
  EXPECT_EQ(within.beyond_tolerance, 0u);
}

TEST(Cosine, CountsTheEqualPartInFrontOfTheFirstDifference) {
  std::vector<double> a(4000, 1.0), b = a;
  b.back() = -1;
  TwoCheckpoints two;
  two.Add("x", a, b);
  EXPECT_NEAR(Only(two.Compare()).cosine, 3998.0 / 4000, 1e-14);
}

TEST(Cosine, IsUndefinedForAZeroVector) {
  TwoCheckpoints two;
  two.Add("x", {0, 0}, {1, 2});
  EXPECT_TRUE(std::isnan(Only(two.Compare()).cosine));
}

TEST(NonFinite, AreCountedInEqualPartsOfAChangedTensor) {
  std::vector<double> a(64, 1.0), b;
  a[0] = kNan;  // in the first chunk, which is equal
  b = a;
  b[63] = 2;
  TwoCheckpoints two;
  two.Add("x", a, b);
  const TensorDiff diff = Only(two.Compare());
  EXPECT_EQ(diff.non_finite, 1u);
  EXPECT_EQ(diff.differing, 1u);
}

TEST(Retyped, IsComparedAfterWidening) {
  TwoCheckpoints two;
  two.Add("x", {1, 0.1, -2}, {1, 0.1, -2}, Dtype::kF32, Dtype::kF16);
  const CheckpointDiff diff = two.Compare();
  EXPECT_EQ(Only(diff).status, TensorStatus::kRetyped);
  EXPECT_EQ(Only(diff).differing, 1u);
  EXPECT_EQ(Only(diff).max_ulp, 0u);  // rounded correctly: within half a unit of float16
  EXPECT_LE(Only(diff).max_rel, 0x1p-11);
  EXPECT_EQ(diff.identical, Identical::kNo);
  EXPECT_FALSE(diff.within_tolerance);
  EXPECT_TRUE(two.Again({.rtol = 0x1p-11})->within_tolerance);
}

TEST(Retyped, ToTheSameValuesIsWithinToleranceAndNotIdentical) {
  TwoCheckpoints two;
  two.Add("x", {1, 0.5, -2}, {1, 0.5, -2}, Dtype::kF32, Dtype::kF64);
  const CheckpointDiff diff = two.Compare();
  EXPECT_EQ(Only(diff).status, TensorStatus::kRetyped);
  EXPECT_EQ(Only(diff).differing, 0u);
  EXPECT_EQ(diff.identical, Identical::kNo);
  EXPECT_TRUE(diff.within_tolerance);
}

TEST(Retyped, CountsUnitsOfTheCoarserType) {
  TwoCheckpoints two;
  two.Add("x", {1, 1}, {1, 1 + 5 * 0x1p-10}, Dtype::kF64, Dtype::kF16);
  EXPECT_EQ(Only(two.Compare()).max_ulp, 5u);
}

TEST(Retyped, ToAnotherKindOfTypeIsADifference) {
  TwoCheckpoints two;
  two.a.Add("x", {1}, {0});
  two.b.AddBytes("x", {1}, std::vector<std::byte>(8), Dtype::kString);
  const CheckpointDiff diff = two.Compare({.rtol = 1e9, .atol = 1e9});
  EXPECT_EQ(Only(diff).status, TensorStatus::kRetyped);
  EXPECT_FALSE(diff.within_tolerance);
  EXPECT_NE(Only(diff).note, "");
}

std::vector<std::byte> Integers(const std::vector<std::uint64_t>& values) {
  std::vector<std::byte> bytes;
  for (const std::uint64_t value : values) {
    for (int shift = 0; shift < 64; shift += 8) {
      bytes.push_back(static_cast<std::byte>(value >> shift & 0xFF));
    }
  }
  return bytes;
}

TEST(Integers, Of64BitsAreComparedExactly) {
  const std::uint64_t large = (std::uint64_t{1} << 53) + 1;  // no double
  for (const Dtype dtype : {Dtype::kI64, Dtype::kU64}) {
    TwoCheckpoints two;
    two.a.AddBytes("x", {2}, Integers({large, 5}), dtype);
    two.b.AddBytes("x", {2}, Integers({large - 1, 5}), dtype);
    const TensorDiff diff = Only(two.Compare());
    EXPECT_EQ(diff.differing, 1u);
    EXPECT_EQ(diff.beyond_tolerance, 1u);
    EXPECT_EQ(diff.max_abs, 1);
    EXPECT_EQ(diff.max_ulp, 1u);
  }
}

TEST(Integers, OfBothEndsDoNotOverflow) {
  TwoCheckpoints two;
  two.a.AddBytes("x", {1}, Integers({std::uint64_t{1} << 63}), Dtype::kI64);
  two.b.AddBytes("x", {1}, Integers({~(std::uint64_t{1} << 63)}), Dtype::kI64);
  EXPECT_EQ(Only(two.Compare()).max_ulp, ~std::uint64_t{0});
}

TEST(Complex, IsComparedByModulus) {
  std::vector<std::byte> a(32), b(32);
  EncodeFromDouble(Dtype::kF64, std::vector<double>{1, 2, 3, 4}, a);
  EncodeFromDouble(Dtype::kF64, std::vector<double>{1, 2, 6, 8}, b);  // 3+4i against 6+8i
  TwoCheckpoints two;
  two.a.AddBytes("x", {2}, a, Dtype::kC128);
  two.b.AddBytes("x", {2}, b, Dtype::kC128);
  const TensorDiff diff = Only(two.Compare());
  EXPECT_EQ(diff.differing, 1u);
  EXPECT_EQ(diff.max_abs, 5);
  EXPECT_EQ(diff.max_rel, 0.5);
}

std::vector<std::byte> Strings(const std::vector<std::string>& values) {
  std::vector<std::byte> bytes;
  for (const std::string& value : values) {
    const std::vector<std::byte> length = Integers({value.size()});
    bytes.insert(bytes.end(), length.begin(), length.end());
    for (const char c : value) bytes.push_back(static_cast<std::byte>(c));
  }
  return bytes;
}

TEST(Strings, AreComparedOneByOneWhereverTheStreamIsCut) {
  for (const std::size_t chunk : std::initializer_list<std::size_t>{1, 3, 10, 4096}) {
    TwoCheckpoints two;
    two.a.AddBytes("x", {3}, Strings({"one", "two", "three"}), Dtype::kString);
    two.b.AddBytes("x", {3}, Strings({"one", "twofold", "threw"}), Dtype::kString);
    two.a.chunk_bytes = chunk;
    two.b.chunk_bytes = 7;
    const TensorDiff diff = Only(two.Compare());
    EXPECT_EQ(diff.status, TensorStatus::kChanged);
    EXPECT_EQ(diff.differing, 2u);
    EXPECT_EQ(diff.note, "compared as bytes");
  }
}

TEST(Strings, ThatEndEarlyAreRefused) {
  std::vector<std::byte> bytes = Strings({"one", "two"});
  TwoCheckpoints two;
  two.a.AddBytes("x", {2}, bytes, Dtype::kString);
  bytes.pop_back();
  two.b.AddBytes("x", {2}, bytes, Dtype::kString);
  const auto diff = two.TryCompare();
  ASSERT_FALSE(diff);
  EXPECT_EQ(diff.error().code, ErrorCode::kCorrupt);
}

TEST(SubByteTypes, AreComparedAsBytes) {
  TwoCheckpoints two;
  two.a.AddBytes("x", {4}, {std::byte{0x12}, std::byte{0x34}}, Dtype::kI4);
  two.b.AddBytes("x", {4}, {std::byte{0x12}, std::byte{0x35}}, Dtype::kI4);
  const CheckpointDiff diff = two.Compare({.atol = 100});
  EXPECT_EQ(Only(diff).status, TensorStatus::kChanged);
  EXPECT_FALSE(diff.within_tolerance);
}

TEST(EmptyTensors, AreEqual) {
  TwoCheckpoints two;
  two.AddBoth("x", {0, 4}, {});
  EXPECT_EQ(two.Compare().identical, Identical::kYes);
}

TEST(Shapes, ThatDifferAreADifferenceWithoutReading) {
  TwoCheckpoints two;
  two.a.Add("x", {2, 3}, std::vector<double>(6));
  two.b.Add("x", {3, 2}, std::vector<double>(6));
  const CheckpointDiff diff = two.Compare({.rtol = 1, .atol = 1e9});
  EXPECT_EQ(Only(diff).status, TensorStatus::kReshaped);
  EXPECT_EQ(Only(diff).by, ComparedBy::kNothing);
  EXPECT_FALSE(diff.within_tolerance);
  EXPECT_EQ(diff.bytes_read, 0u);
}

// Both tensors fail when they are opened, so that an answer is one that nothing was read for.
TwoCheckpoints WithChecksums(std::uint32_t a, std::uint32_t b,
                             ChecksumKind kind_b = ChecksumKind::kCrc32c) {
  TwoCheckpoints two;
  two.a.Add("x", {1}, {1}).checksum = StoredChecksum{ChecksumKind::kCrc32c, a};
  two.b.Add("x", {1}, {1}).checksum = StoredChecksum{kind_b, b};
  two.a.Break("x", {ErrorCode::kIo, "opened"});
  return two;
}

TEST(Checksums, OfOneKindThatAgreeNeedNoReading) {
  TwoCheckpoints two = WithChecksums(77, 77);
  const CheckpointDiff diff = two.Compare();
  EXPECT_EQ(Only(diff).status, TensorStatus::kEqual);
  EXPECT_EQ(Only(diff).by, ComparedBy::kChecksum);
  EXPECT_EQ(diff.identical, Identical::kUnread);
  EXPECT_EQ(diff.bytes_read, 0u);
}

TEST(Checksums, OfOneFileAreNoDoubt) {
  TwoCheckpoints two = WithChecksums(77, 77);
  EXPECT_EQ(two.Compare({.same_file = true}).identical, Identical::kYes);
}

TEST(Checksums, AreNotTrustedWhenBytesAreAskedFor) {
  EXPECT_FALSE(WithChecksums(77, 77).TryCompare({.bytes = true}));
}

TEST(Checksums, OfTwoKindsOrTypesSayNothing) {
  EXPECT_FALSE(WithChecksums(77, 77, ChecksumKind::kCrc32).TryCompare());
  TwoCheckpoints two = WithChecksums(77, 77);
  two.b.mutable_manifest().tensors[0].dtype = Dtype::kI32;
  EXPECT_FALSE(two.TryCompare());
}

TEST(Checksums, ThatDifferAreFollowedByReading) {
  EXPECT_FALSE(WithChecksums(77, 78).TryCompare());
}

TEST(AbsentData, IsJudgedByChecksums) {
  TwoCheckpoints two = WithChecksums(77, 78);
  two.a.mutable_manifest().tensors[0].data_present = false;
  const CheckpointDiff diff = two.Compare({.rtol = 1, .atol = 1e9});
  EXPECT_EQ(Only(diff).status, TensorStatus::kChanged);
  EXPECT_EQ(Only(diff).by, ComparedBy::kChecksum);
  EXPECT_FALSE(diff.within_tolerance);
}

TEST(Reading, PassesOnErrors) {
  TwoCheckpoints two;
  two.AddBoth("x", {1}, {1});
  two.b.Break("x", {ErrorCode::kCorrupt, "checksum mismatch", "data", 40, "x"});
  const auto diff = two.TryCompare();
  ASSERT_FALSE(diff);
  EXPECT_EQ(diff.error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(diff.error().offset, 40u);
}

TEST(Reading, RefusesAStreamThatEndsEarly) {
  TwoCheckpoints two;
  two.a.Add("x", {20}, std::vector<double>(20, 1));
  two.b.AddBytes("x", {20}, std::vector<std::byte>(64), Dtype::kF32);
  const auto diff = two.TryCompare();
  ASSERT_FALSE(diff);
  EXPECT_EQ(diff.error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(diff.error().tensor, "x");
}

}  // namespace
}  // namespace ckpt::testing::values_test
