// MXNet: names, fix_gamma, the forms of a list, and what is refused.
#include "formats/mxnet/mxnet.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <string>
#include <vector>

#include "ckpt/fold.h"
#include "formats/container/file.h"
#include "tests/other_frameworks/open_fixture.h"
#include "tests/support/expected_tensors.h"
#include "tests/support/paths.h"

namespace ckpt::formats::mxnet_test {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAre;
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
      testing::ReadExpected(ckpt::testing::TestData() + "/mxnet/net-0010.params.expected.json");
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

// Arrays of float32, each with its name.
struct NamedArray {
  std::string name;
  std::vector<std::uint64_t> shape;
  std::vector<float> values;
};
std::string ListOf(const std::vector<NamedArray>& list) {
  std::string arrays, names = Number(list.size(), 8);
  for (const NamedArray& array : list) {
    arrays += Number(0xf993fac9, 4) + Number(0, 4) + Number(array.shape.size(), 4);
    for (const std::uint64_t dim : array.shape) arrays += Number(dim, 8);
    arrays += Number(1, 4) + Number(0, 4) + Number(0, 4);
    for (const float value : array.values) arrays += Number(std::bit_cast<std::uint32_t>(value), 4);
    names += Number(array.name.size(), 8) + array.name;
  }
  return ListOf(list.size(), arrays, names);
}

// A fully connected layer, its batch norm of axis 1, and the fold of both. `head`: a second output
// of the net.
FoldPlan FoldOfDenseNet(const std::string& attributes, const std::string& head = {}) {
  MemoryFiles files;
  files.Add("n-0001.params", ListOf({{"arg:w", {2, 3}, {1, 2, 3, 4, 5, 6}},
                                     {"arg:b", {2}, {0.5F, 0.25F}},
                                     {"arg:g", {2}, {3, -5}},
                                     {"arg:o", {2}, {7, 11}},
                                     {"aux:m", {2}, {1, -2}},
                                     {"aux:v", {2}, {3, 15}}}));
  files.Add("n-symbol.json", R"({"heads":[[8,0,0])" + (head.empty() ? "" : "," + head) +
                                 R"(],"nodes":[
    {"op":"null","name":"data","inputs":[]}, {"op":"null","name":"w","inputs":[]},
    {"op":"null","name":"b","inputs":[]},
    {"op":"FullyConnected","name":"fc","inputs":[[0,0,0],[1,0,0],[2,0,0]],"attrs":{)" +
                                 attributes + R"(}},
    {"op":"null","name":"g","inputs":[]}, {"op":"null","name":"o","inputs":[]},
    {"op":"null","name":"m","inputs":[]}, {"op":"null","name":"v","inputs":[]},
    {"op":"BatchNorm","name":"bn","attrs":{"eps":"0.5","fix_gamma":"False"},
     "inputs":[[3,0,0],[4,0,0],[5,0,0],[6,0,0],[7,0,0]]}]})");
  const auto opened = OpenMxnet(files, "n-0001.params", {});
  EXPECT_TRUE(opened.has_value());
  if (!opened) return {};
  const auto plan = PlanFold(**opened, Analyse((*opened)->manifest()), {.fold = true});
  EXPECT_TRUE(plan.has_value());
  return plan ? *plan : FoldPlan{};
}

TEST(Mxnet, AFullyConnectedLayerTakesItsBatchNorm) {
  for (const char* attributes : {R"("num_hidden":"2")", R"("flatten":"True")"}) {
    const FoldPlan plan = FoldOfDenseNet(attributes);
    EXPECT_THAT(plan.folded, SizeIs(1));
    // gamma / sqrt(variance + epsilon), and (bias - mean) of that + beta.
    const double first = 3 / std::sqrt(3.5), second = -5 / std::sqrt(15.5);
    int found = 0;
    for (const FoldedTensor& tensor : plan.tensors) {
      if (const auto* kernel = std::get_if<ScaledKernel>(&tensor.content)) {
        ++found;
        EXPECT_THAT(kernel->out_factors,
                    ElementsAre(DoubleNear(first, 1e-12), DoubleNear(second, 1e-12)));
      } else if (const auto* bias = std::get_if<Constant>(&tensor.content)) {
        ++found;
        EXPECT_THAT(bias->values, ElementsAre(DoubleNear((0.5 - 1) * first + 7, 1e-12),
                                              DoubleNear((0.25 + 2) * second + 11, 1e-12)));
      }
    }
    EXPECT_EQ(found, 2);
  }
}

// [N, T, in] becomes [N, T, out], whose axis 1 the batch norm normalises.
TEST(Mxnet, AFullyConnectedLayerThatDoesNotFlattenTakesNone) {
  for (const char* attributes : {R"("flatten":"False")", R"("flatten":"0")"}) {
    EXPECT_THAT(FoldOfDenseNet(attributes).folded, SizeIs(0));
  }
}

// The mean that a batch norm yields beside its result is not that of a folded one.
TEST(Mxnet, ABatchNormWhoseOtherOutputIsReadStays) {
  EXPECT_THAT(FoldOfDenseNet(R"("flatten":"True")", "[8,1,0]").folded, SizeIs(0));
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
}  // namespace ckpt::formats::mxnet_test
