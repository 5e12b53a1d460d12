#include "formats/remote/credentials.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace ckpt::formats::credentials_test {
namespace {

TEST(Credentials, AnIniFileIsReadAsTheAwsToolsReadIt) {
  const std::string text =
      "# comment\n[default]\naws_access_key_id=A\n\n[ profile work ]\nregion = eu-west-1\n"
      "s3 =\n  region = nested\naws_access_key_id =  B  \n[other]\nregion = x\n";
  EXPECT_EQ(IniValue(text, "default", "aws_access_key_id"), "A");
  EXPECT_EQ(IniValue(text, "profile work", "aws_access_key_id"), "B");
  EXPECT_EQ(IniValue(text, "profile work", "region"), "eu-west-1");
  EXPECT_EQ(IniValue(text, "default", "region"), std::nullopt);
}

TEST(Credentials, ForgettingOverwritesTheMemoryOfTheEnvironment) {
  ASSERT_EQ(::setenv("HF_TOKEN", "hf_secret", 1), 0);
  const char* const value = std::getenv("HF_TOKEN");
  ForgetCredentials();
  EXPECT_EQ(std::getenv("HF_TOKEN"), nullptr);
  EXPECT_STREQ(value, "xxxxxxxxx");
}

}  // namespace
}  // namespace ckpt::formats::credentials_test
