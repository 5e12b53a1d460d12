// Darknet: the cfg's graph, versions, partial files, and what is refused.
#include "formats/darknet/darknet.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "ckpt/checkpoint.h"
#include "ckpt/fold.h"
#include "ckpt/layer_computation.h"
#include "formats/container/file.h"
#include "tests/other_frameworks/open_fixture.h"
#include "tests/support/expected_tensors.h"
#include "tests/support/paths.h"

namespace ckpt::formats::darknet_test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

const std::string kHeader("\0\0\0\0\2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);  // 0.2.0

Result<std::unique_ptr<Checkpoint>> OpenPair(MemoryFiles& files, const std::string& cfg,
                                             std::size_t numbers) {
  files.Add("n.cfg", cfg);
  files.Add("n.weights", kHeader + std::string(4 * numbers, '\0'));
  return OpenDarknet(files, "n.weights", {});
}

Error ErrorOf(const std::string& cfg, std::size_t numbers) {
  MemoryFiles files;
  const auto opened = OpenPair(files, cfg, numbers);
  EXPECT_FALSE(opened.has_value()) << cfg;
  return opened ? Error{} : opened.error();
}

TEST(Darknet, ReadsLayersFromTheCfgAndEpsilonIsTheProgramsOwn) {
  const auto checkpoint = OpenFixture("darknet/small.weights");
  ASSERT_NE(checkpoint, nullptr);
  const Manifest& manifest = checkpoint->manifest();
  const Analysis analysis = Analyse(manifest);
  ASSERT_THAT(analysis.batch_norms, SizeIs(2));
  const BatchNorm norm = BatchNormAt(analysis, "000_convolutional");
  EXPECT_EQ(NameOf(manifest, norm.gamma), "000_convolutional/scales");
  EXPECT_EQ(NameOf(manifest, norm.beta), "000_convolutional/biases");
  ASSERT_TRUE(norm.epsilon.has_value());
  EXPECT_EQ(norm.epsilon->value, 1e-5);
  EXPECT_EQ(norm.epsilon->evidence.source, EvidenceSource::kDefault);
  EXPECT_EQ(manifest.metadata.at("images seen"), "64000");
}

TEST(Darknet, TheUsersEpsilonIsObeyedAndCalledTheUsers) {
  const auto checkpoint = OpenFixture("darknet/small.weights");
  ASSERT_NE(checkpoint, nullptr);
  AnalysisOptions options;
  options.epsilon = 1e-3;
  const Analysis analysis = Analyse(checkpoint->manifest(), options);
  ASSERT_THAT(analysis.batch_norms, SizeIs(2));
  for (const BatchNorm& norm : analysis.batch_norms) {
    ASSERT_TRUE(norm.epsilon.has_value());
    EXPECT_EQ(norm.epsilon->value, 1e-3);
    EXPECT_EQ(norm.epsilon->evidence.source, EvidenceSource::kUser);
  }
}

// The fold reads the bias and the kernel through Darknet's flattening; numpy's float64 over the
// same files agrees to 7e-8.
TEST(Darknet, ABatchNormInFrontMovesThroughTheFlattenOfAConnectedLayer) {
  for (const char* file : {"darknet/lone_pjreddie.weights", "darknet/lone_alexeyab.weights"}) {
    const auto checkpoint = OpenFixture(file);
    ASSERT_NE(checkpoint, nullptr);
    const auto plan = PlanFold(*checkpoint, Analyse(checkpoint->manifest()), {.fold = true});
    ASSERT_TRUE(plan.has_value()) << ToString(plan.error());
    ASSERT_THAT(plan->folded, SizeIs(2));
    EXPECT_EQ(plan->folded[0].batch_norm, "000_batchnorm");
    EXPECT_EQ(plan->folded[0].direction, FoldDirection::kForward);
    EXPECT_THAT(plan->folded[0].into, ElementsAre("001_connected/weights"));
  }
}

// 8x8x3; a squeeze of 4 channels to 4 factors; the connected layer counts what the product yields.
constexpr const char* kScaled =
    "[net]\nchannels=3\nheight=8\nwidth=8\n"
    "[convolutional]\nfilters=4\nsize=1\n"
    "[avgpool]\n"
    "[convolutional]\nfilters=4\nsize=1\n"
    "[scale_channels]\nfrom=-3\n"
    "[batchnorm]\n"
    "[connected]\noutput=2\n";

TEST(Darknet, AScaleOfChannelsHasNoWeightsAndTheSizeOfWhatItScales) {
  MemoryFiles files;
  const std::size_t numbers = (4 + 12) + (4 + 16) + 3 * 4 + (2 + 2 * 4 * 8 * 8);
  const auto opened = OpenPair(files, kScaled, numbers);
  ASSERT_TRUE(opened.has_value()) << ToString(opened.error());
  EXPECT_THAT((*opened)->manifest().tensors, SizeIs(4 + 3 + 2));
  // Neither the factor nor what is scaled may take the batch norm behind the product.
  ASSERT_TRUE((*opened)->manifest().graph.has_value());
  const auto& layers = (*opened)->manifest().graph->layers;
  const auto product = std::find_if(layers.begin(), layers.end(), [](const Layer& layer) {
    return layer.name == "003_scale_channels";
  });
  ASSERT_NE(product, layers.end());
  EXPECT_TRUE(Computes<network::Binary>(*product));
  EXPECT_FALSE(IsAddition(*product));
}

TEST(Darknet, OtherKindsWithoutWeightsPass) {
  for (const char* kind :
       {"sam]\nfrom=-1", "activation]\nactivation=relu", "normalization", "l2norm", "empty",
        "silence", "logistic", "crop]\ncrop_height=4\ncrop_width=4"}) {
    MemoryFiles files;
    const std::string section = std::string("[") + kind;
    const std::string cfg = "[net]\nchannels=3\nheight=8\nwidth=8\n[convolutional]\nfilters=4\n" +
                            section + (section.find(']') == std::string::npos ? "]\n" : "\n");
    const auto opened = OpenPair(files, cfg, 4 + 12);
    EXPECT_TRUE(opened.has_value()) << kind << ": " << ToString(opened.error());
  }
}

TEST(Darknet, AProductOfOtherChannelsIsRefused) {
  const Error error = ErrorOf(
      "[net]\nchannels=3\nheight=8\nwidth=8\n[convolutional]\nfilters=4\n"
      "[convolutional]\nfilters=2\n[sam]\nfrom=-2\n",
      (4 + 12) + (2 + 8));
  EXPECT_THAT(error.message, HasSubstr("002_sam multiplies 4 channels by 2"));
}

TEST(Darknet, TheCfgNamesTheSameCheckpoint) {
  const auto checkpoint = OpenFixture("darknet/small.cfg");
  ASSERT_NE(checkpoint, nullptr);
  EXPECT_TRUE(checkpoint->manifest().resolved.ends_with("small.weights"));
}

TEST(Darknet, OldFilesHaveAShorterHeader) {
  const auto checkpoint = OpenFixture("darknet/old.weights");
  ASSERT_NE(checkpoint, nullptr);
  testing::ExpectTensors(
      *checkpoint,
      testing::ReadExpected(ckpt::testing::TestData() + "/darknet/small.weights.expected.json"));
}

TEST(Darknet, AFileOfTheFirstLayersSaysWhatIsAbsent) {
  const auto checkpoint = OpenFixture("darknet/partial.weights");
  ASSERT_NE(checkpoint, nullptr);
  const Manifest& manifest = checkpoint->manifest();
  ASSERT_THAT(manifest.problems, SizeIs(1));
  EXPECT_EQ(manifest.problems[0].error.code, ErrorCode::kNotFound);
  EXPECT_THAT(manifest.problems[0].error.message, HasSubstr("layer 1"));
  EXPECT_THAT(manifest.problems[0].tensors, SizeIs(4));
  EXPECT_TRUE(checkpoint->Open(*FindTensor(manifest, "001_convolutional/weights")).has_value());
  EXPECT_FALSE(checkpoint->Open(*FindTensor(manifest, "005_convolutional/weights")).has_value());
}

TEST(Darknet, NeedsBothFiles) {
  MemoryFiles files;
  files.Add("n.weights", kHeader);
  auto opened = OpenDarknet(files, "n.weights", {});
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().file, "n.cfg");
  EXPECT_EQ(opened.error().code, ErrorCode::kNotFound);
}

constexpr const char* kNet = "[net]\nchannels=2\nheight=4\nwidth=4\n";

TEST(DarknetMalformed, TheCfgIsNotBelieved) {
  const std::string net = kNet;
  EXPECT_THAT(ErrorOf("", 1).message, HasSubstr("[net]"));
  EXPECT_THAT(ErrorOf("[net]\nheight=4\n[convolutional]\n", 1).message, HasSubstr("channels"));
  EXPECT_THAT(ErrorOf(net + "[convolutional]\nfilters=0\n", 1).message, HasSubstr("filters=0"));
  EXPECT_THAT(ErrorOf(net + "[convolutional]\nfilters=x\n", 1).message, HasSubstr("filters=x"));
  EXPECT_THAT(ErrorOf(net + "[convolutional]\nfilters=-1\n", 1).message, HasSubstr("-1"));
  EXPECT_THAT(ErrorOf(net + "[convolutional]\ngroups=3\nfilters=3\n", 1).message,
              HasSubstr("3 groups"));
  EXPECT_THAT(ErrorOf(net + "[route]\nlayers=5\n", 1).message, HasSubstr("come before"));
  EXPECT_THAT(ErrorOf(net + "[route]\n", 1).message, HasSubstr("reads nothing"));
  EXPECT_THAT(ErrorOf(net + "[lstm]\n", 1).message, HasSubstr("000_lstm"));
  EXPECT_THAT(ErrorOf(net + "nonsense\n", 1).message, HasSubstr("line 5"));
  EXPECT_EQ(ErrorOf(net + "[lstm]\n", 1).file, "n.cfg");
  EXPECT_FALSE(
      ErrorOf(net + "[convolutional]\nfilters=2147483647\nsize=2147483647\n", 1).message.empty());
}

TEST(DarknetMalformed, SizesThatGrowOutOfBoundsAreRefused) {
  std::string cfg = kNet;
  for (int i = 0; i < 40; ++i) cfg += "[upsample]\nstride=1000\n";
  EXPECT_THAT(ErrorOf(cfg, 1).message, HasSubstr("too large"));
  cfg = kNet;
  for (int i = 0; i < 40; ++i) cfg += "[deconvolutional]\nstride=2000000000\nsize=1\n";
  EXPECT_THAT(ErrorOf(cfg, 1).message, HasSubstr("too large"));
}

TEST(DarknetMalformed, ASizeThatDoesNotFitIsRefused) {
  const std::string cfg = std::string(kNet) + "[convolutional]\nfilters=3\n";
  MemoryFiles files;
  EXPECT_TRUE(OpenPair(files, cfg, 3 + 6).has_value());
  for (const std::size_t numbers : {0U, 1U, 8U, 10U}) {
    EXPECT_EQ(ErrorOf(cfg, numbers).code, ErrorCode::kCorrupt) << numbers;
    EXPECT_EQ(ErrorOf(cfg, numbers).file, "n.weights") << numbers;
  }
}

}  // namespace
}  // namespace ckpt::formats::darknet_test
