// Flax: names, collections, defaults, and what is refused.
#include "formats/flax/flax.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "formats/container/file.h"
#include "tests/other_frameworks/open_fixture.h"

namespace ckpt::formats::flax_test {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

Result<std::unique_ptr<Checkpoint>> OpenBytes(const MemoryFiles& files) {
  return OpenFlax(files, "m", {});
}

Error ErrorOf(std::string_view bytes) {
  MemoryFiles files;
  files.Add("m", bytes);
  const auto opened = OpenBytes(files);
  EXPECT_FALSE(opened.has_value());
  return opened ? Error{} : opened.error();
}

TEST(Flax, JoinsParametersAndStatistics) {
  const auto checkpoint = OpenFixture("flax/model.msgpack");
  ASSERT_NE(checkpoint, nullptr);
  const Manifest& manifest = checkpoint->manifest();
  const Analysis analysis = Analyse(manifest);
  EXPECT_EQ(analysis.framework, Framework::kFlax);
  ASSERT_THAT(analysis.batch_norms, SizeIs(2));
  for (const char* scope : {"bn_a", "BatchNorm_0"}) {
    const BatchNorm norm = BatchNormAt(analysis, scope);
    EXPECT_EQ(NameOf(manifest, norm.gamma), std::string(scope) + "/scale");
    EXPECT_EQ(NameOf(manifest, norm.beta), std::string(scope) + "/bias");
    EXPECT_EQ(NameOf(manifest, norm.moving_mean), std::string(scope) + "/mean");
    EXPECT_EQ(NameOf(manifest, norm.moving_variance), std::string(scope) + "/var");
    ASSERT_TRUE(norm.epsilon.has_value());
    EXPECT_EQ(norm.epsilon->value, 1e-5);
    EXPECT_EQ(norm.epsilon->evidence.source, EvidenceSource::kDefault);
    ASSERT_TRUE(norm.momentum.has_value());
    EXPECT_EQ(norm.momentum->value, 0.99);
  }
  const auto scale = FindTensor(manifest, "params/bn_a/scale");
  const auto mean = FindTensor(manifest, "batch_stats/bn_a/mean");
  ASSERT_TRUE(scale && mean) << "the file's own keys are names too";
  EXPECT_EQ(manifest.tensors[scale->index].trainable, true);
  EXPECT_EQ(manifest.tensors[mean->index].trainable, false);
}

TEST(Flax, SeesThatStatisticsAreMissing) {
  const auto checkpoint = OpenFixture("flax/params_only.msgpack");
  ASSERT_NE(checkpoint, nullptr);
  const Analysis analysis = Analyse(checkpoint->manifest());
  const BatchNorm norm = BatchNormAt(analysis, "BatchNorm_0");
  EXPECT_TRUE(norm.certain);
  EXPECT_FALSE(norm.moving_mean.has_value());
}

TEST(Flax, KeepsTheOptimizerApart) {
  const auto checkpoint = OpenFixture("flax/train_state.msgpack");
  ASSERT_NE(checkpoint, nullptr);
  std::size_t optimizer = 0;
  for (const TensorInfo& info : checkpoint->manifest().tensors) {
    if (info.section == Section::kOptimizer) ++optimizer;
    EXPECT_EQ(info.section == Section::kOptimizer, info.name.starts_with("opt_state/"))
        << info.name;
  }
  EXPECT_GT(optimizer, 10U);
  const Analysis analysis = Analyse(checkpoint->manifest());
  EXPECT_THAT(analysis.batch_norms, SizeIs(2)) << "slots are no layers";
}

TEST(Flax, StatisticsWithoutScaleAreABatchNorm) {
  // {"batch_stats": {"x": {"mean": [1] float32, "var": ...}}}
  const std::string array(
      "\x93\x91\x01\xa7"
      "float32\xc4\x04\0\0\x80\x3f",
      17);
  const std::string leaf =
      "\xc7" + std::string(1, static_cast<char>(array.size())) + "\x01" + array;
  MemoryFiles files;
  files.Add("m",
            "\x81\xab"
            "batch_stats\x81\xa1x\x82\xa4mean" +
                leaf + "\xa3var" + leaf);
  const auto opened = OpenBytes(files);
  ASSERT_TRUE(opened.has_value()) << ToString(opened.error());
  const Analysis analysis = Analyse((*opened)->manifest());
  ASSERT_THAT(analysis.batch_norms, SizeIs(1));
  EXPECT_EQ(analysis.batch_norms[0].scope, "x");
}

TEST(FlaxMalformed, IsRefusedInWords) {
  EXPECT_EQ(ErrorOf("").code, ErrorCode::kCorrupt);
  EXPECT_THAT(ErrorOf("\x93\x01\x02\x03").message, HasSubstr("map"));
  EXPECT_THAT(ErrorOf("\x81\x01\x02").message, HasSubstr("key"));
  EXPECT_THAT(ErrorOf("\x82\xa1"
                      "a\x01\xa1"
                      "a\x02")
                  .message,
              HasSubstr("twice"));
  EXPECT_THAT(ErrorOf("\x81\xa1"
                      "a\x01\x02")
                  .message,
              HasSubstr("behind"));
  EXPECT_THAT(ErrorOf("\x81\xa1"
                      "a\xc1")
                  .message,
              HasSubstr("begins no"));
  EXPECT_THAT(ErrorOf("\xdf\xff\xff\xff\xff\xa1"
                      "a")
                  .message,
              HasSubstr("claims"));
  EXPECT_EQ(ErrorOf("\x81\xa1"
                    "a\xd4\x05x")
                .code,
            ErrorCode::kUnsupported);
  std::string deep;
  for (int i = 0; i < 200; ++i)
    deep +=
        "\x81\xa1"
        "a";
  EXPECT_EQ(ErrorOf(deep + "\xc0").code, ErrorCode::kLimitExceeded);
}

std::string Big(std::uint64_t value, unsigned bytes) {
  std::string text;
  while (bytes-- > 0) text += static_cast<char>(value >> (8 * bytes) & 0xff);
  return text;
}

// {"nnn...": {"00": 0, "01": 0, ...}}: each of a few bytes has the long name in its own.
std::string LongNames(std::size_t length, unsigned count) {
  std::string bytes = "\x81\xda" + Big(length, 2) + std::string(length, 'n');
  bytes += "\xde" + Big(count, 2);
  for (unsigned i = 0; i < count; ++i) bytes += "\xa4" + Big(0x10000000 + i, 4) + "\x01";
  return bytes;
}

TEST(FlaxMalformed, NamesTogetherAreBoundedByTheBytesThatSpellThem) {
  const std::string bytes = LongNames(60000, 1200);
  const Error error = ErrorOf(bytes);
  EXPECT_EQ(error.code, ErrorCode::kLimitExceeded);
  EXPECT_EQ(error.remedy, Remedy::kMoreMemory);
  MemoryFiles files;
  files.Add("m", bytes);
  Limits limits;
  limits.memory_bytes = 100'000'000;
  EXPECT_TRUE(OpenFlax(files, "m", limits).has_value()) << "who has the memory may raise it";
}

TEST(FlaxMalformed, AnArrayMustHaveTheBytesOfItsShape) {
  const std::string array(
      "\x93\x91\x02\xa7"
      "float32\xc4\x04\0\0\x80\x3f",
      17);
  const std::string leaf =
      "\xc7" + std::string(1, static_cast<char>(array.size())) + "\x01" + array;
  EXPECT_THAT(ErrorOf("\x81\xa1w" + leaf).message, HasSubstr("[2] of float32"));
}

TEST(Flax, AnUnknownElementTypeLeavesTheRestReadable) {
  const std::string array(
      "\x93\x91\x01\xa7"
      "float99\xc4\x04\0\0\x80\x3f",
      17);
  const std::string leaf =
      "\xc7" + std::string(1, static_cast<char>(array.size())) + "\x01" + array;
  MemoryFiles files;
  files.Add("m", "\x82\xa1w" + leaf + "\xa1v\x07");
  const auto opened = OpenBytes(files);
  ASSERT_TRUE(opened.has_value()) << ToString(opened.error());
  EXPECT_THAT((*opened)->manifest().problems, SizeIs(1));
  EXPECT_TRUE((*opened)->Open(TensorId{0}).has_value());
  EXPECT_EQ((*opened)->Open(TensorId{1}).error().code, ErrorCode::kUnsupported);
}

}  // namespace
}  // namespace ckpt::formats::flax_test
