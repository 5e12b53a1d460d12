// TensorFlow.js: the config's graph, weights across files, and what is refused.
#include "formats/tfjs/tfjs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "formats/container/file.h"
#include "tests/other_frameworks/open_fixture.h"

namespace ckpt::formats::tfjs_test {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

TEST(Tfjs, ReadsTheGraphOfTheConfig) {
  const auto checkpoint = OpenFixture("tfjs/float32/model.json");
  ASSERT_NE(checkpoint, nullptr);
  EXPECT_THAT(checkpoint->manifest().files, SizeIs(5));
  const Analysis analysis = Analyse(checkpoint->manifest());
  ASSERT_THAT(analysis.batch_norms, SizeIs(1));
  const BatchNorm& norm = analysis.batch_norms[0];
  EXPECT_EQ(norm.scope, "bn");
  EXPECT_TRUE(norm.gamma && norm.beta && norm.moving_mean && norm.moving_variance);
  ASSERT_TRUE(norm.epsilon.has_value());
  EXPECT_EQ(norm.epsilon->value, 0.001);
  EXPECT_EQ(norm.epsilon->evidence.source, EvidenceSource::kFrameworkRecord);
}

constexpr const char* kWeights =
    R"({"modelTopology":null,"weightsManifest":[{"paths":["a.bin"],"weights":[)"
    R"({"name":"w","shape":[2],"dtype":"float32"}]}]})";

TEST(Tfjs, AManifestInTheMiddleOfALargeFileIsFound) {
  const std::string text = "{\"modelTopology\": {" + std::string(100000, ' ') +
                           "}, \"weightsManifest\": [" + std::string(100000, ' ') + "]}";
  const auto bytes = std::as_bytes(std::span(text));
  EXPECT_EQ(ProbeTfjs({"model.json", bytes.first(512), bytes.last(65536), text.size()}),
            Match::kLikely);
  const std::string other = "{\"model\": {" + std::string(200000, ' ') + "}}";
  const auto others = std::as_bytes(std::span(other));
  EXPECT_EQ(ProbeTfjs({"model.json", others.first(512), others.last(65536), other.size()}),
            Match::kNo);
}

TEST(Tfjs, AnAbsentFileIsAProblem) {
  MemoryFiles files;
  files.Add("d/model.json", kWeights);
  const auto opened = OpenTfjs(files, "d/model.json", {});
  ASSERT_TRUE(opened.has_value()) << ToString(opened.error());
  const Manifest& manifest = (*opened)->manifest();
  ASSERT_THAT(manifest.problems, SizeIs(1));
  EXPECT_EQ(manifest.problems[0].error.code, ErrorCode::kNotFound);
  EXPECT_FALSE((*opened)->Open(TensorId{0}).has_value());
}

TEST(Tfjs, AFileOfAnotherSizeIsAProblem) {
  for (const char* bytes : {"1234567", "123456789"}) {
    MemoryFiles files;
    files.Add("d/model.json", kWeights);
    files.Add("d/a.bin", std::string_view(bytes));
    const auto opened = OpenTfjs(files, "d/model.json", {});
    ASSERT_TRUE(opened.has_value()) << ToString(opened.error());
    ASSERT_THAT((*opened)->manifest().problems, SizeIs(1));
    EXPECT_EQ((*opened)->manifest().problems[0].error.code, ErrorCode::kCorrupt);
  }
}

TEST(Tfjs, FilesOutsideOfTheFolderAreNotOpened) {
  std::string model = kWeights;
  model.replace(model.find("a.bin"), 5, "../b.bin");
  MemoryFiles files;
  files.Add("d/model.json", model);
  files.Add("b.bin", "12345678");
  const auto opened = OpenTfjs(files, "d/model.json", {});
  ASSERT_TRUE(opened.has_value()) << ToString(opened.error());
  ASSERT_THAT((*opened)->manifest().problems, SizeIs(1));
  EXPECT_EQ((*opened)->manifest().problems[0].error.code, ErrorCode::kUnsafe);
}

Error ErrorOf(const std::string& model) {
  MemoryFiles files;
  files.Add("model.json", model);
  const auto opened = OpenTfjs(files, "model.json", {});
  EXPECT_FALSE(opened.has_value()) << model;
  return opened ? Error{} : opened.error();
}

TEST(TfjsMalformed, IsRefusedInWords) {
  const auto with = [](const std::string& weight) {
    return R"({"weightsManifest":[{"paths":[],"weights":[)" + weight + "]}]}";
  };
  EXPECT_EQ(ErrorOf("{").file, "model.json");
  EXPECT_THAT(ErrorOf("{}").message, HasSubstr("weightsManifest"));
  EXPECT_THAT(ErrorOf(R"({"weightsManifest":3})").message, HasSubstr("list"));
  EXPECT_THAT(ErrorOf(with("{}")).message, HasSubstr("name"));
  EXPECT_THAT(ErrorOf(with(R"({"name":"w","dtype":"float32"})")).message, HasSubstr("shape"));
  EXPECT_THAT(ErrorOf(with(R"({"name":"w","dtype":"float32","shape":[-1]})")).message,
              HasSubstr("shape"));
  EXPECT_THAT(ErrorOf(with(R"({"name":"w","dtype":"string","shape":[1]})")).message,
              HasSubstr("string"));
  EXPECT_THAT(ErrorOf(with(R"({"name":"w","dtype":"float32","shape":[1],)"
                           R"("quantization":{"dtype":"uint8"}})"))
                  .message,
              HasSubstr("min"));
  EXPECT_THAT(ErrorOf(R"({"format":"graph-model","weightsManifest":[]})").message,
              HasSubstr("graph model"));
}

}  // namespace
}  // namespace ckpt::formats::tfjs_test
