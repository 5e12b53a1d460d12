// Elements to double and back: the vector loops against a plain definition, one element at a time,
// and against what NumPy and ml_dtypes made of the same numbers.
#include "ckpt/elements.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>

#include "ckpt/formats/format.h"
#include "core/small_float.h"
#include "tests/support/paths.h"

namespace ckpt::elements_test {
namespace {

// The formats, from their definitions: OCP 8-bit Floating Point; ONNX, "Float stored in 8 bits".
struct Format {
  Dtype dtype;
  const char* name;
  int exponent_bits, mantissa_bits, bias;
  enum { kIeee, kOneNan, kMinusZeroIsNan } specials;
};
constexpr Format kFormats[] = {
    {Dtype::kF16, "float16", 5, 10, 15, Format::kIeee},
    {Dtype::kBF16, "bfloat16", 8, 7, 127, Format::kIeee},
    {Dtype::kF8E5M2, "float8_e5m2", 5, 2, 15, Format::kIeee},
    {Dtype::kF8E4M3FN, "float8_e4m3fn", 4, 3, 7, Format::kOneNan},
    {Dtype::kF8E4M3FNUZ, "float8_e4m3fnuz", 4, 3, 8, Format::kMinusZeroIsNan},
    {Dtype::kF8E5M2FNUZ, "float8_e5m2fnuz", 5, 2, 16, Format::kMinusZeroIsNan},
};

std::uint32_t WordCount(const Format& format) {
  return 1U << (1 + format.exponent_bits + format.mantissa_bits);
}

double Value(const Format& format, std::uint32_t word) {
  const std::uint32_t sign = WordCount(format) / 2, magnitude = word & (sign - 1);
  const auto exponent = static_cast<int>(magnitude >> format.mantissa_bits);
  const std::uint32_t mantissa = magnitude & ((1U << format.mantissa_bits) - 1);
  const double nan = std::nan("");
  if (format.specials == Format::kMinusZeroIsNan && word == sign) return nan;
  if (format.specials == Format::kOneNan && magnitude == sign - 1) return nan;
  double value = exponent == 0 ? std::ldexp(mantissa, 1 - format.bias - format.mantissa_bits)
                               : std::ldexp(mantissa + (1U << format.mantissa_bits),
                                            exponent - format.bias - format.mantissa_bits);
  if (format.specials == Format::kIeee && exponent == (1 << format.exponent_bits) - 1) {
    value = mantissa == 0 ? HUGE_VAL : nan;
  }
  return (word & sign) != 0 ? -value : value;
}

// The word whose value is nearest, the even one of two, by trying its neighbours.
class Nearest {
 public:
  explicit Nearest(const Format& format) : format_(format) {
    for (std::uint32_t word = 0; word < WordCount(format) / 2; ++word) {
      const double value = Value(format, word);
      if (!std::isfinite(value)) break;
      values_.push_back(value);
    }
  }
  // Nothing for NaN and for what is above the largest value and rounds away from it.
  std::optional<std::uint32_t> Word(double number) const {
    const std::uint32_t sign = std::signbit(number) ? WordCount(format_) / 2 : 0;
    const double magnitude = std::fabs(number);
    const double unit = values_.back() - values_[values_.size() - 2];
    if (!(magnitude < values_.back() + unit / 2)) return std::nullopt;
    const auto above = std::upper_bound(values_.begin(), values_.end(), magnitude);
    auto at = static_cast<std::uint32_t>(above - values_.begin()) - 1;
    if (above != values_.end()) {
      const double to_next = *above - magnitude, to_this = magnitude - values_[at];
      if (to_next < to_this || (to_next == to_this && at % 2 == 1)) ++at;
    }
    if (at == 0 && format_.specials == Format::kMinusZeroIsNan) return 0;
    return sign | at;
  }
  const std::vector<double>& values() const { return values_; }

 private:
  const Format& format_;
  std::vector<double> values_;  // of the words from 0 on
};

std::vector<std::uint32_t> Encoded(const Format& format, const std::vector<double>& numbers) {
  const std::size_t bytes = BitSize(format.dtype) / 8;
  std::vector<std::byte> out(numbers.size() * bytes);
  EncodeFromDouble(format.dtype, numbers, out);
  std::vector<std::uint32_t> words;
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    std::uint32_t word = std::to_integer<std::uint32_t>(out[i * bytes]);
    if (bytes == 2) word |= std::to_integer<std::uint32_t>(out[i * bytes + 1]) << 8;
    words.push_back(word);
  }
  return words;
}

std::vector<double> Decoded(const Format& format) {
  const std::size_t bytes = BitSize(format.dtype) / 8;
  std::vector<std::byte> in;
  for (std::uint32_t word = 0; word < WordCount(format); ++word) {
    in.push_back(static_cast<std::byte>(word & 255));
    if (bytes == 2) in.push_back(static_cast<std::byte>(word >> 8));
  }
  std::vector<double> out(WordCount(format));
  DecodeToDouble(format.dtype, in, out);
  return out;
}

bool Same(double a, double b) {
  return (std::isnan(a) && std::isnan(b)) ||
         std::bit_cast<std::uint64_t>(a) == std::bit_cast<std::uint64_t>(b);
}

TEST(SmallFloats, HaveTheValuesOfTheirDefinition) {
  for (const Format& format : kFormats) {
    SCOPED_TRACE(format.name);
    const std::vector<double> decoded = Decoded(format);
    for (std::uint32_t word = 0; word < decoded.size(); ++word) {
      ASSERT_TRUE(Same(decoded[word], Value(format, word))) << word << ": " << decoded[word];
    }
  }
}

TEST(SmallFloats, AreTheNearestToEveryNumberBetweenTwoOfThem) {
  for (const Format& format : kFormats) {
    SCOPED_TRACE(format.name);
    const Nearest nearest(format);
    std::vector<double> numbers = {0.0, -0.0, 0x1p-1074, -0x1p-1074, 0x1p-1022};
    for (std::size_t i = 0; i + 1 < nearest.values().size(); ++i) {
      const double a = nearest.values()[i], b = nearest.values()[i + 1], middle = (a + b) / 2;
      for (const double number :
           {a, middle, std::nextafter(middle, a), std::nextafter(middle, b)}) {
        numbers.push_back(number);
        numbers.push_back(-number);
      }
    }
    const std::vector<std::uint32_t> words = Encoded(format, numbers);
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      const auto expected = nearest.Word(numbers[i]);
      ASSERT_TRUE(expected);
      ASSERT_EQ(words[i], *expected) << numbers[i];
    }
  }
}

TEST(SmallFloats, AreTheNearestToNumbersOfAllSizes) {
  std::mt19937_64 random(29);
  for (const Format& format : kFormats) {
    SCOPED_TRACE(format.name);
    const Nearest nearest(format);
    std::vector<double> numbers;
    for (int i = 0; i < 200'000; ++i) {
      const double number = std::bit_cast<double>(random());
      numbers.push_back(number);
      // Near the range of the type, where most bits of a random double are not.
      const int exponent = static_cast<int>(random() % 48) - 30;
      numbers.push_back(std::ldexp(1 + static_cast<double>(random() >> 11) * 0x1p-53, exponent));
    }
    const std::vector<std::uint32_t> words = Encoded(format, numbers);
    const std::uint32_t sign = WordCount(format) / 2;
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      if (const auto expected = nearest.Word(numbers[i])) {
        ASSERT_EQ(words[i], *expected) << numbers[i];
        continue;
      }
      const double back = Value(format, words[i]);
      const bool infinite = format.specials == Format::kIeee && !std::isnan(numbers[i]);
      ASSERT_TRUE(infinite ? std::isinf(back) : std::isnan(back)) << numbers[i];
      ASSERT_TRUE(!infinite || ((words[i] & sign) != 0) == std::signbit(numbers[i]));
    }
  }
}

TEST(SmallFloats, AreThoseOfNumPyAndMlDtypes) {
  const auto file =
      formats::OpenCheckpoint(ckpt::testing::TestData() + "/small_floats/small_floats.npz");
  ASSERT_TRUE(file) << ToString(file.error());
  const auto read = [&](const std::string& name) {
    const auto id = FindTensor((*file)->manifest(), name);
    EXPECT_TRUE(id) << name;
    return *ReadDoubles(**file, *id, 1 << 20);
  };
  const std::vector<double> numbers = read("numbers");
  for (const Format& format : kFormats) {
    SCOPED_TRACE(format.name);
    const std::vector<std::uint32_t> words = Encoded(format, numbers);
    const std::vector<double> expected = read(format.name);
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      const auto theirs = static_cast<std::uint32_t>(expected[i]);
      // The bits of a NaN are free.
      if (std::isnan(Value(format, theirs)) && std::isnan(Value(format, words[i]))) continue;
      ASSERT_EQ(words[i], theirs) << numbers[i];
    }
    if (BitSize(format.dtype) != 8) continue;
    const std::vector<double> values = read(std::string(format.name) + ".values"),
                              decoded = Decoded(format);
    for (std::size_t i = 0; i < values.size(); ++i) {
      EXPECT_TRUE(std::isnan(values[i]) ? std::isnan(decoded[i]) : Same(values[i], decoded[i]))
          << i;
    }
  }
}

TEST(SmallFloats, AreTheSameByEveryInstructionSet) {
  std::mt19937_64 random(30);
  std::vector<double> numbers;
  for (int i = 0; i < 100'003; ++i) {
    const int exponent = static_cast<int>(random() % 60) - 40;
    const double number = std::ldexp(1 + static_cast<double>(random() >> 11) * 0x1p-53, exponent);
    numbers.push_back(i % 50 == 0  ? std::bit_cast<double>(random())
                      : i % 2 == 0 ? number
                                   : -number);
  }
  for (const Format& format : kFormats) {
    SCOPED_TRACE(format.name);
    const SmallFloat& type = *SmallFloatOf(format.dtype);
    std::vector<std::byte> plain(numbers.size() * BitSize(format.dtype) / 8), better = plain;
    std::vector<double> from_plain(numbers.size()), from_better = from_plain;
    EncodeSmall(type, numbers, plain, VectorSet::kPlain);
    DecodeSmall(type, plain, from_plain, VectorSet::kPlain);
    for (const VectorSet set : {VectorSet::kAvx2, VectorSet::kAvx512}) {
      if (set > BestVectorSet()) continue;
      EncodeSmall(type, numbers, better, set);
      DecodeSmall(type, plain, from_better, set);
      EXPECT_EQ(better, plain);
      for (std::size_t i = 0; i < numbers.size(); ++i) {
        ASSERT_TRUE(Same(from_better[i], from_plain[i])) << i;
      }
    }
  }
}

TEST(Elements, CountWhatTheirTypeCannotHold) {
  const std::vector<double> numbers = {1, 65519, 65520, -1e9, HUGE_VAL, std::nan(""),
                                       0, 1e-5,  -1e-30};
  const EncodeLoss loss = LossOfEncoding(Dtype::kF16, numbers);
  EXPECT_EQ(loss.overflowed, 2U);
  EXPECT_EQ(loss.underflowed, 2U);
  EXPECT_EQ(LossOfEncoding(Dtype::kI8, numbers).overflowed, 0U);
}

}  // namespace
}  // namespace ckpt::elements_test
