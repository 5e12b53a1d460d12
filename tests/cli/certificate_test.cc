// A conversion shows that OUTPUT computes what INPUT does, before it is put in place.
#include "cli/certificate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "ckpt/formats/format.h"
#include "tests/cli/ckpt_program.h"
#include "tests/support/paths.h"
#include "tests/support/temporary_folder.h"

namespace ckpt::cli::certificate_test {
namespace {

using testing::Ckpt;
using ::testing::HasSubstr;
using testing::TemporaryFolder;
using Json = nlohmann::json;

const std::string kModel = "onnx/conv2d_bn.onnx";

struct Converted {
  int code = 0;
  Json verification = {}, record = {};
  std::string error = {};
  bool written = false;
};

Converted Convert(std::vector<std::string> options, const std::string& input = kModel,
                  const std::string& name = "out.onnx") {
  const TemporaryFolder folder;
  const std::string output = (folder.path() / name).string();
  options.insert(options.begin(), {"convert", input, output, "--format", "json"});
  const auto run = Ckpt(options);
  Converted result{run.exit_code, {}, {}, run.err, std::filesystem::exists(output)};
  const Json report = Json::parse(run.out, nullptr, false);
  if (report.contains("verification")) result.verification = report["verification"];
  std::ifstream record(output + ".ckpt.json");
  if (record) result.record = Json::parse(record).value("verification", Json());
  return result;
}

TEST(Certificate, OfAFoldStandsInTheReportAndInTheRecord) {
  const Converted folded = Convert({"--bn", "fold"});
  ASSERT_EQ(folded.code, 0) << folded.error;
  EXPECT_EQ(folded.verification["status"], "verified");
  const Json& found = folded.verification["signatures"][0];
  EXPECT_EQ(found["verdict"], "same up to rounding");
  EXPECT_EQ(found["steps"]["factor"], 1);
  EXPECT_GT(found["steps"]["worst"]["ratio"], 0);
  EXPECT_LT(found["steps"]["worst"]["ratio"], 1);
  EXPECT_EQ(folded.record, folded.verification);
}

TEST(Certificate, OfACastHasTheRoundingOfItsType) {
  const Converted cast = Convert({"--cast", "float16"}, "keras_h5/conv2d_bn.h5", "out.h5");
  ASSERT_EQ(cast.code, 0) << cast.error;
  const Json& found = cast.verification["signatures"][0];
  EXPECT_EQ(found["verdict"], "same up to rounding");
  EXPECT_GT(found["outputs"][0]["max_abs"], 1e-5);
}

TEST(Certificate, IsLeftOutWhereNobodyWantsIt) {
  const Converted folded = Convert({"--bn", "fold", "--no-verify"});
  EXPECT_EQ(folded.code, 0) << folded.error;
  EXPECT_EQ(folded.verification["status"], "not verified");
  EXPECT_EQ(folded.verification["signatures"][0]["reason"], "--no-verify");
}

TEST(Certificate, OfOpenSizesWantsThemAndOfALargeRunIsMadeOnlyWhereItIsAskedFor) {
  const std::string model = "tf_operations/convolutions";
  const std::vector<std::string> serving = {"--to", "saved-model"};
  const auto shaped = [&](int size) {
    const std::string side = std::to_string(size);
    std::vector<std::string> options = serving;
    options.insert(options.end(), {"--shape", "x7=1x" + side + "x" + side + "x3"});
    return options;
  };
  const Converted open = Convert(serving, model, "1"), small = Convert(shaped(6), model, "1"),
                  large = Convert(shaped(3000), model, "1");
  EXPECT_EQ(open.code, 0) << open.error;
  EXPECT_THAT(open.verification["signatures"][0]["reason"], HasSubstr("\"x7\""));
  EXPECT_EQ(small.verification["status"], "verified");
  EXPECT_EQ(large.verification["status"], "not verified");
  EXPECT_THAT(large.verification["signatures"][0]["reason"], HasSubstr("--verify"));
}

TEST(Certificate, ThatIsAskedForAndCannotBeGivenStopsTheConversion) {
  const Converted names = Convert({"--bn", "fold", "--verify"}, kModel, "out.npz");
  EXPECT_EQ(names.code, 3);
  EXPECT_THAT(names.error, HasSubstr("cannot be verified: OUTPUT is names alone"));
  EXPECT_FALSE(names.written);
  const Converted lambda = Convert({"--verify"}, "keras_h5/lambda_layer.h5", "out.h5");
  EXPECT_EQ(lambda.code, 3);
  EXPECT_THAT(lambda.error, HasSubstr("Lambda"));
  EXPECT_FALSE(lambda.written);
  const Converted by_default = Convert({}, "keras_h5/lambda_layer.h5", "out.h5");
  EXPECT_EQ(by_default.code, 0);
  EXPECT_THAT(by_default.verification["signatures"][0]["reason"], HasSubstr("Lambda"));
}

TEST(Certificate, OfAnotherFunctionIsOurOwnFault) {
  const std::string folder = ckpt::testing::TestData() + "/onnx/";
  const auto other = formats::OpenCheckpoint(folder + "conv2d_bn_no_bias.onnx");
  ASSERT_TRUE(other) << ToString(other.error());
  const auto certificate = Certify(folder + "conv2d_bn.onnx", {}, nullptr, **other, {});
  ASSERT_FALSE(certificate);
  EXPECT_EQ(certificate.error().code, ErrorCode::kInternal);
  EXPECT_THAT(certificate.error().message, HasSubstr("node_c"));
}

}  // namespace
}  // namespace ckpt::cli::certificate_test
