// What `ckpt diff` says of two files, and whether it rests on data that was read.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "ckpt/formats/format.h"
#include "tests/cli/ckpt_program.h"
#include "tests/support/paths.h"

namespace ckpt::testing::diff_verdict_test {
namespace {

// A state dict with one bit of a kernel flipped behind the checksum that the archive stores.
std::string WithOneBitFlipped(const std::string& path) {
  std::string bytes = ReadFile(path);
  const auto checkpoint = *formats::OpenCheckpoint(path);
  const auto id = *FindTensor(checkpoint->manifest(), "conv1.weight");
  const auto kernel = *ReadBytes(*checkpoint, id, 1 << 20);
  const std::size_t at =
      bytes.find(std::string(reinterpret_cast<const char*>(kernel.data()), kernel.size()));
  bytes.at(at + 5) = static_cast<char>(bytes.at(at + 5) ^ 1);
  return bytes;
}

TEST(DiffVerdict, ADamagedTwinIsNotCalledIdentical) {
  const std::string sound = ckpt::testing::TestData() + "/torch/state_dict.pt";
  const TemporaryFolder folder;
  const std::string damaged = (folder / "damaged.pt").string();
  WriteFile(damaged, WithOneBitFlipped(sound));

  const auto text = Ckpt({"diff", sound, damaged});
  EXPECT_EQ(text.exit_code, 0);
  EXPECT_EQ(text.out.find("identical"), std::string::npos) << text.out;
  EXPECT_NE(text.out.find("compared by stored checksums, the data not read"), std::string::npos);

  const auto json = nlohmann::json::parse(Ckpt({"diff", "--format", "json", sound, damaged}).out);
  EXPECT_TRUE(json["identical"].is_null());
  EXPECT_EQ(json["tensors"][0]["by"], "checksum");

  EXPECT_EQ(Ckpt({"diff", "--bytes", sound, damaged}).exit_code, 3);
}

TEST(DiffVerdict, OneFileIsIdenticalToItself) {
  const auto run =
      Ckpt({"diff", "--format", "json", "torch/state_dict.pt", "./torch/../torch/state_dict.pt"});
  EXPECT_EQ(nlohmann::json::parse(run.out)["identical"], true);
}

TEST(DiffVerdict, ACopyThatWasReadIsIdentical) {
  const TemporaryFolder folder;
  WriteFile(folder / "copy.pt", ReadFile(ckpt::testing::TestData() + "/torch/state_dict.pt"));
  const auto run = Ckpt({"diff", "--bytes", "--format", "json", "torch/state_dict.pt",
                         (folder / "copy.pt").string()});
  const auto json = nlohmann::json::parse(run.out);
  EXPECT_EQ(json["identical"], true);
  EXPECT_EQ(json["tensors"][0]["by"], "bytes");
}

}  // namespace
}  // namespace ckpt::testing::diff_verdict_test
