// Caffe: BatchNorm and Scale as one layer, the scale factor, and what is refused.
#include "formats/caffe/caffe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "formats/container/file.h"
#include "tests/other_frameworks/open_fixture.h"

namespace ckpt::formats {
namespace {

using ::testing::Each;
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

// Length-delimited fields of messages that are made by hand.
std::string Field(unsigned number, const std::string& bytes) {
  std::string out;
  for (unsigned tag = number << 3 | 2; true; tag >>= 7) {
    out += static_cast<char>(tag >= 0x80 ? (tag & 0x7f) | 0x80 : tag);
    if (tag < 0x80) break;
  }
  return out + static_cast<char>(bytes.size()) + bytes;
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
}  // namespace ckpt::formats
