#include "core/element_loops.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include "audit/non_finite.h"

namespace ckpt::element_loops_test {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kLargest = std::numeric_limits<double>::max();

std::vector<VectorSet> SetsHere() {
  std::vector<VectorSet> sets;
  for (const VectorSet set : {VectorSet::kPlain, VectorSet::kAvx2, VectorSet::kAvx512}) {
    if (set <= BestVectorSet()) sets.push_back(set);
  }
  return sets;
}

bool SameBits(double a, double b) {
  return std::bit_cast<std::uint64_t>(a) == std::bit_cast<std::uint64_t>(b);
}

// Of every exponent, with the ends of the range and what is no number among them.
std::vector<double> Numbers(std::size_t count, bool finite) {
  std::mt19937_64 random(41);
  std::vector<double> numbers(count);
  for (std::size_t i = 0; i < count; ++i) {
    const int exponent = static_cast<int>(random() % 2046) - 1022;
    const double one = 1 + static_cast<double>(random() >> 12) * 0x1p-52;
    numbers[i] = std::ldexp(random() % 2 == 0 ? one : -one, exponent);
    if (i % 7 == 0) numbers[i] = 0;
    if (!finite && i % 11 == 0) numbers[i] = i % 22 == 0 ? kInfinity : -std::nan("");
  }
  return numbers;
}

// As many as leave rests of every vector.
class ElementLoops : public ::testing::TestWithParam<std::size_t> {};
INSTANTIATE_TEST_SUITE_P(OfEverySize, ElementLoops,
                         ::testing::Values(0, 1, 7, 8, 9, 15, 31, 33, 1000, 4099));

TEST_P(ElementLoops, Float32IsWidenedExactlyAndRoundedAsTheLanguageRounds) {
  std::vector<float> floats(GetParam());
  std::mt19937 random(42);
  for (float& value : floats) value = std::bit_cast<float>(static_cast<std::uint32_t>(random()));
  const std::vector<double> numbers = Numbers(GetParam(), false);
  std::vector<float> expected(numbers.size());
  for (std::size_t i = 0; i < numbers.size(); ++i) expected[i] = static_cast<float>(numbers[i]);
  for (const VectorSet set : SetsHere()) {
    std::vector<double> wide(floats.size());
    WidenF32(std::as_bytes(std::span(floats)), wide, set);
    std::vector<float> narrow(numbers.size());
    NarrowToF32(numbers, std::as_writable_bytes(std::span(narrow)), set);
    for (std::size_t i = 0; i < floats.size(); ++i) {
      ASSERT_TRUE(SameBits(wide[i], static_cast<double>(floats[i]))) << i;
      ASSERT_EQ(std::bit_cast<std::uint32_t>(narrow[i]), std::bit_cast<std::uint32_t>(expected[i]))
          << numbers[i];
    }
  }
}

TEST_P(ElementLoops, ProductsAreThoseOfOneElementAtATime) {
  const std::vector<double> numbers = Numbers(GetParam(), true);
  std::vector<double> factors(numbers.rbegin(), numbers.rend());
  for (const VectorSet set : SetsHere()) {
    std::vector<double> by_one = numbers, by_each = numbers;
    MultiplyAll(by_one, 1.0 / 3, set);
    MultiplyEach(by_each, factors.data(), set);
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      ASSERT_TRUE(SameBits(by_one[i], numbers[i] * (1.0 / 3))) << i;
      ASSERT_TRUE(SameBits(by_each[i], numbers[i] * factors[i])) << i;
    }
  }
}

TEST_P(ElementLoops, MagnitudesAreCountedAndComparedOneByOne) {
  const std::vector<double> numbers = Numbers(GetParam(), false);
  const double from = 1e-200, to = 1e200;
  std::uint64_t count = 0;
  double largest = 0, finite = 0;
  for (const double x : numbers) {
    count += std::fabs(x) >= from && std::fabs(x) <= to ? 1U : 0U;
    largest = std::max(largest, std::isnan(x) ? 0 : std::fabs(x));
    finite = std::max(finite, std::isfinite(x) ? std::fabs(x) : 0);
  }
  for (const VectorSet set : SetsHere()) {
    EXPECT_EQ(CountMagnitudes(numbers, from, to, set), count);
    EXPECT_EQ(LargestMagnitude(numbers, kInfinity, set), largest);
    EXPECT_EQ(LargestMagnitude(numbers, kLargest, set), finite);
    EXPECT_EQ(AllFinite(numbers, set), numbers.empty());
    EXPECT_TRUE(AllFinite(Numbers(GetParam(), true), set));
  }
}

TEST_P(ElementLoops, OneThatIsNotFiniteIsSeenWhereverItStands) {
  for (std::size_t place = 0; place < GetParam(); place += 1 + place / 8) {
    for (const double value : {kInfinity, -kInfinity, std::nan("")}) {
      std::vector<double> numbers(GetParam(), kLargest);
      numbers[place] = value;
      for (const VectorSet set : SetsHere()) EXPECT_FALSE(AllFinite(numbers, set)) << place;
    }
  }
}

// Small integers, whose sums are exact in every order.
TEST_P(ElementLoops, SumsLeaveNoElementOut) {
  std::vector<double> numbers(GetParam());
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    numbers[i] = i % 2 == 0 ? static_cast<double>(i + 1) : -static_cast<double>(i + 1);
  }
  const auto count = static_cast<double>(GetParam());
  for (const VectorSet set : SetsHere()) {
    EXPECT_EQ(SumOfMagnitudes(numbers, 2, set), count * (count + 1));
    std::vector<double> sums(numbers.size(), 0.5);
    AddMagnitudes(numbers, -3, sums.data(), set);
    for (std::size_t i = 0; i < sums.size(); ++i)
      ASSERT_EQ(sums[i], 0.5 + 3 * std::fabs(numbers[i]));
  }
}

TEST_P(ElementLoops, SumsDoNotDependOnTheSet) {
  std::vector<double> numbers(GetParam());
  std::mt19937_64 random(43);
  for (double& x : numbers) x = static_cast<double>(random()) * 0x1p-40;
  const double plain = SumOfMagnitudes(numbers, 0.1, VectorSet::kPlain);
  for (const VectorSet set : SetsHere()) {
    EXPECT_TRUE(SameBits(SumOfMagnitudes(numbers, 0.1, set), plain));
  }
}

// 1e16 + 1 - 1e16 over and over: what a plain sum loses.
TEST_P(ElementLoops, CompensatedSumsKeepWhatRoundingDrops) {
  const std::size_t count = GetParam();
  for (const VectorSet set : SetsHere()) {
    std::vector<double> sum(count, 0), rest = sum, magnitude = sum;
    for (const double term : {1e16, 1.0, -1e16}) {
      AddCompensated(std::vector<double>(count, term), {sum.data(), rest.data(), magnitude.data()},
                     set);
    }
    for (std::size_t i = 0; i < count; ++i) {
      ASSERT_EQ(sum[i] + rest[i], 1);
      ASSERT_EQ(magnitude[i], 2e16);
    }
  }
  std::vector<double> terms;
  for (std::size_t i = 0; i < count; ++i) terms.insert(terms.end(), {1e16, 1.0, -1e16});
  double sum = 0, rest = 0, magnitude = 0;
  AddAllCompensated(terms, {&sum, &rest, &magnitude});
  EXPECT_EQ(sum + rest, static_cast<double>(count));
}

template <class Word>
void CountByEverySet(Dtype dtype, Word exponent) {
  std::vector<Word> words(100'003);
  std::mt19937_64 random(44);
  std::uint64_t expected = 0;
  for (Word& word : words) {
    word = static_cast<Word>(random() % 3 == 0 ? exponent | random() : random());
    expected += (word & exponent) == exponent ? 1U : 0U;
  }
  for (const VectorSet set : SetsHere()) {
    EXPECT_EQ(audit::CountNonFinite(dtype, std::as_bytes(std::span(words)), set), expected);
  }
}

TEST(NonFinite, AreCountedAlikeByEverySet) {
  CountByEverySet<std::uint16_t>(Dtype::kF16, 0x7C00);
  CountByEverySet<std::uint16_t>(Dtype::kBF16, 0x7F80);
  CountByEverySet<std::uint32_t>(Dtype::kF32, 0x7F800000);
  CountByEverySet<std::uint64_t>(Dtype::kF64, 0x7FF0000000000000);
}

TEST(NonFinite, ManyOfOneBlockAreAllCounted) {
  const std::vector<std::uint16_t> words(200'000, 0x7C00);
  for (const VectorSet set : SetsHere()) {
    EXPECT_EQ(audit::CountNonFinite(Dtype::kF16, std::as_bytes(std::span(words)), set),
              words.size());
  }
}

}  // namespace
}  // namespace ckpt::element_loops_test
