// MXNet: names, fix_gamma, the forms of a list, and what is refused.
#include "formats/mxnet/mxnet.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "formats/container/file.h"
#include "tests/other_frameworks/open_fixture.h"
#include "tests/support/expected_tensors.h"

namespace ckpt::formats {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

TEST(Mxnet, TheSymbolGivesEpsilonAndLayers) {
  const auto checkpoint = OpenFixture("mxnet_real/net-0010.params");
  ASSERT_NE(checkpoint, nullptr);
  const Manifest& manifest = checkpoint->manifest();
  const Analysis analysis = Analyse(manifest);
  EXPECT_EQ(analysis.framework, Framework::kMxNet);
  ASSERT_THAT(analysis.batch_norms, SizeIs(2));
  for (const BatchNorm& norm : analysis.batch_norms) {
    EXPECT_TRUE(norm.gamma && norm.beta && norm.moving_mean && norm.moving_variance);
    ASSERT_TRUE(norm.epsilon && norm.momentum);
    EXPECT_EQ(norm.epsilon->value, 2e-5);
    EXPECT_EQ(norm.momentum->value, 0.9);
  }
  const TensorInfo& gamma = manifest.tensors[analysis.batch_norms[0].gamma->index];
  EXPECT_EQ(gamma.name, "bn0_gamma");
  EXPECT_EQ(gamma.stored_as, "arg:bn0_gamma");
}

TEST(Mxnet, FixedGammaIsSaidAndReadAsOne) {
  const auto checkpoint = OpenFixture("mxnet_real/fixed-0010.params");
  ASSERT_NE(checkpoint, nullptr);
  EXPECT_THAT(checkpoint->manifest().metadata.at("fix_gamma of bn0_gamma"), HasSubstr("ones"));
  const auto gamma = FindTensor(checkpoint->manifest(), "bn0_gamma");
  EXPECT_EQ(ReadDoubles(*checkpoint, *gamma, 10).value(), std::vector<double>(4, 1.0));
}

TEST(Mxnet, GluonNamesAreFoundWithoutASymbol) {
  const auto checkpoint = OpenFixture("mxnet_real/gluon.params");
  ASSERT_NE(checkpoint, nullptr);
  EXPECT_THAT(checkpoint->manifest().note, HasSubstr("fix_gamma"));
  const Analysis analysis = Analyse(checkpoint->manifest());
  ASSERT_THAT(analysis.batch_norms, SizeIs(1));
  EXPECT_EQ(analysis.batch_norms[0].scope, "1");
  EXPECT_FALSE(analysis.batch_norms[0].epsilon.has_value());
}

TEST(Mxnet, EveryFormOfAListHoldsTheSame) {
  const auto expected =
      testing::ReadExpected(std::string(CKPT_TESTDATA) + "/mxnet/net-0010.params.expected.json");
  for (const char* file :
       {"mxnet/version0.params", "mxnet/version1.params", "mxnet/version3.params"}) {
    SCOPED_TRACE(file);
    const auto checkpoint = OpenFixture(file);
    ASSERT_NE(checkpoint, nullptr);
    testing::ExpectTensors(*checkpoint, expected);
  }
}

Error ErrorOf(const std::string& bytes, const std::string& symbol = {}) {
  MemoryFiles files;
  files.Add("n-0001.params", bytes);
  if (!symbol.empty()) files.Add("n-symbol.json", symbol);
  const auto opened = OpenMxnet(files, "n-0001.params", {});
  EXPECT_FALSE(opened.has_value());
  return opened ? Error{} : opened.error();
}

std::string Number(std::uint64_t value, int bytes) {
  std::string out;
  for (int i = 0; i < bytes; ++i) out += static_cast<char>(value >> (8 * i) & 0xff);
  return out;
}

std::string ListOf(std::uint64_t count, const std::string& arrays, const std::string& names) {
  return Number(0x112, 8) + Number(0, 8) + Number(count, 8) + arrays + names;
}

TEST(MxnetMalformed, IsRefusedInWords) {
  EXPECT_THAT(ErrorOf(Number(0x113, 8)).message, HasSubstr("list"));
  EXPECT_THAT(ErrorOf(ListOf(~std::uint64_t{0}, "", "")).message, HasSubstr("claims"));
  const std::string head = Number(0xf993fac9, 4);
  EXPECT_THAT(ErrorOf(ListOf(1, head + Number(7, 4), Number(0, 8))).message, HasSubstr("storage"));
  EXPECT_THAT(ErrorOf(ListOf(1, head + Number(0, 4) + Number(300, 4), Number(0, 8))).message,
              HasSubstr("rank 300"));
  const std::string vector = head + Number(0, 4) + Number(1, 4);
  EXPECT_THAT(ErrorOf(ListOf(1, vector + Number(~std::uint64_t{0}, 8), Number(0, 8))).message,
              HasSubstr("negative"));
  const std::string wide = vector + Number(1, 8) + Number(1, 4) + Number(0, 4);
  EXPECT_THAT(ErrorOf(ListOf(1, wide + Number(99, 4), Number(0, 8))).message, HasSubstr("99"));
  const std::string one = wide + Number(0, 4) + "1234";
  EXPECT_THAT(ErrorOf(ListOf(1, one, Number(0, 8) + "x")).message, HasSubstr("behind"));
  EXPECT_THAT(ErrorOf(ListOf(1, one + one, Number(2, 8))).message, HasSubstr(""));
  const std::string same = Number(1, 8) + "a";
  EXPECT_THAT(ErrorOf(ListOf(2, one + one, Number(2, 8) + same + same)).message,
              HasSubstr("one name"));
}

TEST(MxnetMalformed, ASymbolThatContradictsItselfIsRefused) {
  const std::string vector = Number(0xf993fac9, 4) + Number(0, 4) + Number(1, 4) + Number(1, 8) +
                             Number(1, 4) + Number(0, 4) + Number(0, 4) + "1234";
  const std::string list = ListOf(1, vector, Number(1, 8) + Number(1, 8) + "w");
  EXPECT_EQ(ErrorOf(list, "{").file, "n-symbol.json");
  EXPECT_THAT(ErrorOf(list, "{}").message, HasSubstr("no nodes"));
  EXPECT_THAT(ErrorOf(list, R"({"nodes":[{"op":"x","name":"x","inputs":[[3,0,0]]}]})").message,
              HasSubstr("node 0"));
  EXPECT_THAT(ErrorOf(list, R"({"nodes":[]})").message, HasSubstr("heads"));
}

}  // namespace
}  // namespace ckpt::formats
