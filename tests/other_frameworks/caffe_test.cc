// Caffe: BatchNorm and Scale as one layer, the scale factor, and what is refused.
#include "formats/caffe/caffe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "ckpt/fold.h"
#include "formats/container/file.h"
#include "tests/other_frameworks/open_fixture.h"

namespace ckpt::formats::caffe_test {
namespace {

using ::testing::DoubleNear;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

TEST(Caffe, ABatchNormAndItsScaleAreOne) {
  const auto checkpoint = OpenFixture("caffe/small.caffemodel");
  ASSERT_NE(checkpoint, nullptr);
  const Manifest& manifest = checkpoint->manifest();
  const Analysis analysis = Analyse(manifest);
  ASSERT_THAT(analysis.batch_norms, SizeIs(2));
  for (const char* scope : {"bn1", "bn2"}) {
    const BatchNorm norm = BatchNormAt(analysis, scope);
    EXPECT_EQ(NameOf(manifest, norm.gamma), std::string(scope) + "/gamma");
    EXPECT_EQ(NameOf(manifest, norm.beta), std::string(scope) + "/beta");
    EXPECT_EQ(NameOf(manifest, norm.moving_mean), std::string(scope) + "/mean");
    EXPECT_EQ(NameOf(manifest, norm.moving_variance), std::string(scope) + "/variance");
    ASSERT_TRUE(norm.epsilon.has_value());
    EXPECT_FLOAT_EQ(static_cast<float>(norm.epsilon->value), 1e-5F);
    EXPECT_EQ(norm.epsilon->evidence.source, EvidenceSource::kGraph);
  }
  EXPECT_EQ(manifest.tensors[BatchNormAt(analysis, "bn1").gamma->index].stored_as, "scale1:0");
}

TEST(Caffe, AFactorOfZeroMeansNeverTrained) {
  const auto checkpoint = OpenFixture("caffe/untrained.caffemodel");
  ASSERT_NE(checkpoint, nullptr);
  const auto mean = FindTensor(checkpoint->manifest(), "bn1/mean");
  EXPECT_THAT(ReadDoubles(*checkpoint, *mean, 100).value(), Each(0.0));
  EXPECT_THAT(checkpoint->manifest().metadata.at("scale factor of bn1"), HasSubstr("never"));
}

std::string Varint(std::size_t number) {
  std::string out;
  for (; number >= 0x80; number >>= 7) out += static_cast<char>((number & 0x7f) | 0x80);
  return out + static_cast<char>(number);
}

// Fields of messages that are made by hand: length-delimited, of a number, of a float.
std::string Field(unsigned number, const std::string& bytes) {
  return Varint(number << 3 | 2) + Varint(bytes.size()) + bytes;
}
std::string Number(unsigned number, std::size_t value) {
  return Varint(number << 3) + Varint(value);
}
std::string Bytes(const std::vector<float>& values) {
  std::string bytes(values.size() * sizeof(float), '\0');
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}
std::string Float(unsigned number, float value) { return Varint(number << 3 | 5) + Bytes({value}); }

std::string Blob(const std::vector<std::size_t>& shape, const std::vector<float>& values) {
  std::string dims;
  for (const std::size_t dim : shape) dims += Varint(dim);
  return Field(7, Field(7, Field(1, dims)) + Field(5, Bytes(values)));
}

// A layer that reads `bottom`; `more` are further fields.
std::string LayerFrom(const std::string& bottom, const std::string& name, const std::string& type,
                      const std::string& top, const std::string& more) {
  return Field(100, Field(1, name) + Field(2, type) + Field(3, bottom) + Field(4, top) + more);
}

constexpr unsigned kPhase = 10, kInclude = 8, kExclude = 9, kBatchNormParam = 139;

std::unique_ptr<Checkpoint> Opened(const std::string& bytes) {
  MemoryFiles files;
  files.Add("m", bytes);
  auto opened = OpenCaffe(files, "m", {});
  if (!opened) ADD_FAILURE() << ToString(opened.error());
  return opened ? *std::move(opened) : nullptr;
}

FoldPlan FoldedPlan(const Checkpoint& checkpoint) {
  const auto plan = PlanFold(checkpoint, Analyse(checkpoint.manifest()), {.fold = true});
  if (!plan) ADD_FAILURE() << ToString(plan.error());
  return plan ? *plan : FoldPlan{};
}

const std::string kConv = LayerFrom("data", "conv", "Convolution", "conv",
                                    Blob({2, 1, 1, 1}, {1, -2}) + Blob({2}, {0.5F, 0.25F}));
const std::string kStatistics = Blob({2}, {2, -4}) + Blob({2}, {6, 30}) + Blob({1}, {2});

// The values that a fold writes to a kernel and a bias.
std::vector<double> OutFactors(const FoldPlan& plan) {
  for (const FoldedTensor& tensor : plan.tensors) {
    if (const auto* kernel = std::get_if<ScaledKernel>(&tensor.content)) return kernel->out_factors;
  }
  return {};
}
std::vector<double> Bias(const FoldPlan& plan) {
  for (const FoldedTensor& tensor : plan.tensors) {
    if (const auto* bias = std::get_if<Constant>(&tensor.content)) return bias->values;
  }
  return {};
}

// gamma / sqrt(variance / 2 + epsilon) and (bias - mean / 2) of that + beta for kConv, kStatistics,
// gamma 3 and -5, beta 7 and 11.
void ExpectFoldOfStatistics(const FoldPlan& plan, double epsilon) {
  const double first = 3 / std::sqrt(3 + epsilon), second = -5 / std::sqrt(15 + epsilon);
  EXPECT_THAT(OutFactors(plan), ElementsAre(DoubleNear(first, 1e-9), DoubleNear(second, 1e-9)));
  EXPECT_THAT(Bias(plan), ElementsAre(DoubleNear((0.5 - 1) * first + 7, 1e-9),
                                      DoubleNear((0.25 + 2) * second + 11, 1e-9)));
}

TEST(Caffe, GammaAndBetaOfNvidiasFormAreFolded) {
  const std::string scale_and_bias = Blob({2}, {3, -5}) + Blob({2}, {7, 11});
  const auto checkpoint = Opened(
      kConv + LayerFrom("conv", "bn", "BatchNorm", "bn",
                        kStatistics + scale_and_bias + Field(kBatchNormParam, Float(3, 0.5F))));
  ASSERT_NE(checkpoint, nullptr);
  const BatchNorm norm = BatchNormAt(Analyse(checkpoint->manifest()), "bn");
  EXPECT_EQ(NameOf(checkpoint->manifest(), norm.gamma), "bn/gamma");
  EXPECT_EQ(NameOf(checkpoint->manifest(), norm.beta), "bn/beta");
  const FoldPlan plan = FoldedPlan(*checkpoint);
  EXPECT_THAT(plan.folded, SizeIs(1));
  ExpectFoldOfStatistics(plan, 0.5);
}

TEST(Caffe, EpsilonOfNvidiasFormHasALeastValue) {
  const std::string small = Field(kBatchNormParam, Float(3, 1e-9F));
  const std::string own = Blob({2}, {3, -5}) + Blob({2}, {7, 11});
  const auto nvidia =
      Opened(kConv + LayerFrom("conv", "bn", "BatchNorm", "bn", kStatistics + own + small));
  const auto plain =
      Opened(kConv + LayerFrom("conv", "bn", "BatchNorm", "bn", kStatistics + small));
  ASSERT_TRUE(nvidia && plain);
  EXPECT_EQ(BatchNormAt(Analyse(nvidia->manifest()), "bn").epsilon->value, double{1e-5F});
  EXPECT_EQ(BatchNormAt(Analyse(plain->manifest()), "bn").epsilon->value, double{1e-9F});
}

TEST(Caffe, AScaleBehindNvidiasFormIsALayerOfItsOwn) {
  const std::string own = Blob({2}, {3, -5}) + Blob({2}, {7, 11});
  const auto checkpoint =
      Opened(kConv + LayerFrom("conv", "bn", "BatchNorm", "bn", kStatistics + own) +
             LayerFrom("bn", "scale", "Scale", "scale", Blob({2}, {100, 100}) + Blob({2}, {9, 9})));
  ASSERT_NE(checkpoint, nullptr);
  const FoldPlan plan = FoldedPlan(*checkpoint);
  EXPECT_THAT(plan.folded, SizeIs(1));
  ExpectFoldOfStatistics(plan, 1e-5F);
  EXPECT_TRUE(FindTensor(checkpoint->manifest(), "scale/scale").has_value());
}

TEST(Caffe, BlobsOfUnknownMeaningAreKept) {
  for (const std::string& extra :
       {Blob({2}, {3, -5}), Blob({2}, {3, -5}) + Blob({2}, {7, 11}) + Blob({2}, {1, 1})}) {
    const auto checkpoint =
        Opened(kConv + LayerFrom("conv", "bn", "BatchNorm", "bn", kStatistics + extra));
    ASSERT_NE(checkpoint, nullptr);
    const FoldPlan plan = FoldedPlan(*checkpoint);
    ASSERT_THAT(plan.kept, SizeIs(1));
    EXPECT_THAT(plan.kept.front().reason, HasSubstr("blobs"));
  }
}

TEST(Caffe, ASnapshotOfTrainingReadsAsInPhaseTest) {
  const std::string phase = Number(kPhase, 0);
  const auto layer = [&](const char* bottom, const char* name, const char* type, const char* top,
                         const std::string& more) {
    return LayerFrom(bottom, name, type, top, more + phase);
  };
  const std::string in_training = Field(kInclude, Number(1, 0));
  const std::string not_in_test = Field(kExclude, Number(1, 1));
  const std::string in_both = Field(kInclude, Number(1, 0)) + Field(kInclude, Number(1, 1));
  const auto checkpoint =
      Opened(layer("none", "data", "Data", "data", in_training) +
             layer("data", "conv", "Convolution", "conv",
                   Blob({2, 1, 1, 1}, {1, -2}) + Blob({2}, {0.5F, 0.25F}) + in_both) +
             layer("conv", "noise", "Noise", "conv", not_in_test) +
             layer("conv", "bn", "BatchNorm", "conv", kStatistics) +
             layer("conv", "scale", "Scale", "conv", Blob({2}, {3, -5}) + Blob({2}, {7, 11})));
  ASSERT_NE(checkpoint, nullptr);
  const Analysis analysis = Analyse(checkpoint->manifest());
  ASSERT_THAT(analysis.batch_norms, SizeIs(1));
  ASSERT_TRUE(analysis.batch_norms.front().epsilon.has_value());
  EXPECT_EQ(analysis.batch_norms.front().epsilon->evidence.source, EvidenceSource::kGraph);
  const FoldPlan plan = FoldedPlan(*checkpoint);
  EXPECT_THAT(plan.folded, SizeIs(1));
  ExpectFoldOfStatistics(plan, 1e-5F);
}

constexpr unsigned kInnerProductParam = 117;

std::string DenseNet(const std::string& kernel, const std::string& param) {
  return LayerFrom("data", "fc", "InnerProduct", "fc", kernel + Blob({2}, {0.5F, 0.25F}) + param) +
         LayerFrom("fc", "bn", "BatchNorm", "fc", kStatistics) +
         LayerFrom("fc", "scale", "Scale", "fc", Blob({2}, {3, -5}) + Blob({2}, {7, 11}));
}

TEST(Caffe, AFullyConnectedLayerTakesItsBatchNorm) {
  const auto plain = Opened(DenseNet(Blob({2, 3}, {1, 2, 3, 4, 5, 6}), ""));
  const auto transposed =
      Opened(DenseNet(Blob({3, 2}, {1, 2, 3, 4, 5, 6}), Field(kInnerProductParam, Number(6, 1))));
  for (const auto* checkpoint : {&plain, &transposed}) {
    ASSERT_NE(*checkpoint, nullptr);
    const FoldPlan plan = FoldedPlan(**checkpoint);
    EXPECT_THAT(plan.folded, SizeIs(1));
    ExpectFoldOfStatistics(plan, 1e-5F);
  }
}

// [N, T, in] becomes [N, T, out], whose axis 1 the batch norm normalises.
TEST(Caffe, AFullyConnectedLayerOnALaterAxisTakesNone) {
  const auto checkpoint =
      Opened(DenseNet(Blob({2, 3}, {1, 2, 3, 4, 5, 6}), Field(kInnerProductParam, Number(5, 2))));
  ASSERT_NE(checkpoint, nullptr);
  EXPECT_THAT(FoldedPlan(*checkpoint).folded, SizeIs(0));
}

Error ErrorOf(const std::string& bytes) {
  MemoryFiles files;
  files.Add("m", bytes);
  const auto opened = OpenCaffe(files, "m", {});
  EXPECT_FALSE(opened.has_value());
  return opened ? Error{} : opened.error();
}

std::string LayerOf(const std::string& blob) {
  return Field(100, Field(1, "fc") + Field(2, "InnerProduct") + Field(7, blob));
}

TEST(CaffeMalformed, IsRefusedInWords) {
  EXPECT_THAT(ErrorOf("").message, HasSubstr("no layers"));
  EXPECT_THAT(ErrorOf("\x0f").message, HasSubstr("NetParameter"));
  EXPECT_THAT(ErrorOf(Field(100, "\x0a\x7f")).message, HasSubstr("claims"));
  const std::string shape = Field(7, Field(1, "\x02"));
  EXPECT_THAT(ErrorOf(LayerOf(shape + Field(5, "\1\2\3\4"))).message, HasSubstr("4 bytes"));
  EXPECT_THAT(ErrorOf(LayerOf(shape + Field(5, "1234") + Field(5, "1234"))).message,
              HasSubstr("one piece"));
  const std::string negative = Field(7, Field(1, std::string(9, '\xff') + "\x01"));
  EXPECT_THAT(ErrorOf(LayerOf(negative)).message, HasSubstr("shape"));
  EXPECT_EQ(ErrorOf(Field(2, Field(1, "v0"))).code, ErrorCode::kUnsupported);
}

TEST(CaffeMalformed, AFactorIsOneNumber) {
  const std::string two = Field(7, Field(1, "\x02")) + Field(5, "12345678");
  EXPECT_THAT(ErrorOf(Field(100, Field(1, "bn") + Field(2, "BatchNorm") + Field(7, two) +
                                     Field(7, two) + Field(7, two)))
                  .message,
              HasSubstr("scale factor"));
}

}  // namespace
}  // namespace ckpt::formats::caffe_test
