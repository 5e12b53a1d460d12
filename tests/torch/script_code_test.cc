// What the code of a TorchScript archive calls beyond arithmetic.
#include "formats/torch/script_code.h"

#include <gmock/gmock.h>

#include "tests/torch/torch_files.h"

namespace ckpt::formats::script_code_test {
namespace {

using ckpt::testing::Stored;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<std::string> Found(const std::string& source) {
  ckpt::testing::ZipFile zip;
  zip.parts = {Stored("m/data.pkl", ""), Stored("m/constants.pkl", ""),
               Stored("m/code/__torch__/net.py", source)};
  MemoryFiles files;
  files.Add("m.pt", zip.Build());
  EXPECT_TRUE(HoldsScript(files, "m.pt"));
  const auto found = CodeInScript(files, "m.pt");
  EXPECT_TRUE(found) << (found ? "" : found.error().message);
  return found ? *found : std::vector<std::string>{"not read"};
}

TEST(ScriptCode, ArithmeticHasNone) {
  EXPECT_THAT(Found("def forward(self, x: Tensor) -> Tensor:\n"
                    "  y = torch.conv2d(x, (self.conv).weight)\n"
                    "  return ops.prim.NumToTensor(torch.size(y, 0))\n"),
              IsEmpty());
}

TEST(ScriptCode, FilesAndOtherLibrariesAreFound) {
  EXPECT_THAT(Found("  torch.save(x, \"/home/me/.profile\")\n  torch.save(y, \"z\")\n"),
              ElementsAre("the function save"));
  EXPECT_THAT(Found("  y = torch.from_file(\"f\", True, 5)\n"),
              ElementsAre("the function from_file"));
  EXPECT_THAT(Found("  y = ops.evil.run(x)\n"), ElementsAre("an operator of the library \"evil\""));
  EXPECT_THAT(Found("  y : __torch__.torch.classes.evil.Run = self.run\n"),
              ElementsAre("a class of another library"));
}

TEST(ScriptCode, AStateDictHoldsNoScript) {
  EXPECT_FALSE(HoldsScript(SystemFiles(), ckpt::testing::TorchFile("missing.pt")));
  MemoryFiles files;
  files.Add("w.pt", ckpt::testing::TorchArchive("."));
  EXPECT_FALSE(HoldsScript(files, "w.pt"));
}

}  // namespace
}  // namespace ckpt::formats::script_code_test
