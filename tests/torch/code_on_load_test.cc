// Functions that would run when a file is loaded in Python: named wherever they stand in the file,
// and told from classes that are merely unknown. Nothing here runs any.
#include "formats/torch/code_on_load.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/torch/torch_files.h"

namespace ckpt::formats::code_on_load_test {
namespace {

using ckpt::testing::kFourFloats;
using ckpt::testing::OpenBytes;
using ckpt::testing::Stored;
using ckpt::testing::TorchArchive;
using ckpt::testing::ZipFile;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using namespace ckpt::testing::pickle;  // NOLINT: opcodes, so that a pickle reads like a listing

// {"w": tensor, "x": value}
std::string Beside(const std::string& value) {
  return kStart + "}" + Text("w") + Vector() + "s" + Text("x") + value + "s.";
}

std::vector<std::string> Found(const std::string& file) {
  const auto opened = OpenBytes(file);
  if (!opened) {
    ADD_FAILURE() << ToString(opened.error());
    return {};
  }
  return (*opened)->manifest().runs_on_load;
}

std::vector<std::string> FoundIn(const std::string& value) {
  return Found(TorchArchive(Beside(value), {kFourFloats}));
}

std::string Call(std::string_view module, std::string_view name) {
  return Global(module, name) + Text("echo") + "\x85R";
}

TEST(CodeOnLoad, P45FunctionsKnownToRunCodeAreNamed) {
  for (const auto& [module, name] : std::vector<std::pair<std::string, std::string>>{
           {"posix", "system"},
           {"nt", "system"},
           {"os", "popen"},
           {"builtins", "eval"},
           {"builtins", "exec"},
           {"__builtin__", "eval"},
           {"builtins", "__import__"},
           {"runpy", "run_module"},
           {"runpy", "_run_code"},
           {"subprocess", "Popen"},
           {"subprocess", "check_output"},
           {"importlib", "import_module"},
           {"importlib.util", "find_spec"},
           {"shutil", "rmtree"},
           {"socket", "socket"},
           {"pickle", "loads"},
           {"marshal", "loads"},
           {"operator", "attrgetter"},
           {"_io", "open"},
           {"torch.hub", "load"},
           {"torch", "load"},
           {"numpy.testing._private.utils", "runstring"},
           {"torch.serialization", "os.system"}}) {
    EXPECT_THAT(FoundIn(Call(module, name)), ElementsAre(module + "." + name));
  }
}

TEST(CodeOnLoad, ClassesThatAreMerelyUnknownAreNot) {
  for (const auto& [module, name] :
       std::vector<std::pair<std::string, std::string>>{{"argparse", "Namespace"},
                                                        {"pathlib", "PosixPath"},
                                                        {"models.yolo", "Model"},
                                                        {"code.models", "Net"},
                                                        {"my.subprocess_tools", "Runner"},
                                                        {"os_utils", "Paths"},
                                                        {"datetime", "datetime"},
                                                        {"types", "SimpleNamespace"},
                                                        {"functools", "partial"},
                                                        {"os", "stat_result"},
                                                        {"urllib.parse", "ParseResult"},
                                                        {"omegaconf.dictconfig", "DictConfig"},
                                                        {"torch.optim.adam", "Adam"},
                                                        {"torch._utils", "_rebuild_new_thing"}}) {
    EXPECT_THAT(FoundIn(Call(module, name)), IsEmpty()) << module << " " << name;
  }
}

TEST(CodeOnLoad, GetattrOfAnEnumerationIsSoundAndOfAModuleIsNot) {
  const std::string getattr = Global("builtins", "getattr");
  EXPECT_THAT(FoundIn(getattr + Global("my.enums", "Colour") + Text("RED") + "\x86R"), IsEmpty());
  EXPECT_THAT(FoundIn(getattr + Call("my", "Net") + Text("forward") + "\x86R"), IsEmpty());
  EXPECT_THAT(FoundIn(getattr + Global("torch", "serialization") + Text("os") + "\x86R"),
              ElementsAre("builtins.getattr"));
  const std::string module = getattr + Global("torch", "hub") + Text("x") + "\x86R";
  EXPECT_THAT(FoundIn(getattr + module + Text("system") + "\x86R"),
              ElementsAre("builtins.getattr"));
  EXPECT_THAT(FoundIn(getattr + Global("my", "Net") + Text("__globals__") + "\x86R"),
              ElementsAre("builtins.getattr"));
}

TEST(CodeOnLoad, ThroughTheStackAndTheMemoTheNamesAreFound) {
  const std::string by_stack = Text("posix") + "q\x05" + Text("system") + "\x93" + ")R";
  EXPECT_THAT(FoundIn(by_stack), ElementsAre("posix.system"));
  EXPECT_THAT(FoundIn(Text("posix") + "q\x05" + "0h\x05" + Text("system") + "\x93" + ")R"),
              ElementsAre("posix.system"));
  EXPECT_THAT(FoundIn("(S'echo'\nios\nsystem\n"), ElementsAre("os.system"));
}

TEST(CodeOnLoad, AlsoWhereItsResultIsThrownAway) {
  EXPECT_THAT(
      Found(TorchArchive(kStart + Call("posix", "system") + "0" + "}" + Text("w") + Vector() + "s.",
                         {kFourFloats})),
      ElementsAre("posix.system"));
}

TEST(CodeOnLoad, BehindTheLegacyStream) {
  // magic, protocol, host, the object, the keys
  const std::string magic("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19\x2e", 15);
  const std::string head = magic + kStart + "M\xe9\x03." + kStart + "}.";
  const std::string storage = ckpt::testing::Little(4, 8) + kFourFloats;
  EXPECT_THAT(
      Found(head + Beside(Call("builtins", "exec")) + kStart + "]" + Text("0") + "a." + storage),
      ElementsAre("builtins.exec"));
  EXPECT_THAT(Found(head + StateDict(Vector()) + kStart + Call("posix", "system") + "0]" +
                    Text("0") + "a." + storage),
              ElementsAre("posix.system"));
}

std::string ZipOf(const std::string& name, const std::string& bytes) {
  ZipFile zip;
  zip.parts.push_back(Stored(name, bytes));
  return zip.Build();
}

std::string TarOf(const std::string& name, const std::string& bytes) {
  std::string header(512, '\0');
  header.replace(0, name.size(), name);
  char size[12];
  std::snprintf(size, sizeof size, "%011zo", bytes.size());
  header.replace(124, 11, size);
  header.replace(257, 5, "ustar");
  std::string padded = bytes;
  padded.resize((bytes.size() + 511) / 512 * 512, '\0');
  return header + padded + std::string(1024, '\0');
}

// A sound file with one more record.
std::string With(const std::string& name, const std::string& bytes) {
  ZipFile zip;
  zip.parts.push_back(Stored("archive/data.pkl", StateDict(Vector())));
  zip.parts.push_back(Stored("archive/data/0", kFourFloats));
  zip.parts.push_back(Stored("archive/" + name, bytes));
  zip.parts.push_back(Stored("archive/version", "3\n"));
  return zip.Build();
}

TEST(CodeOnLoad, InOtherRecordsAndInArchivesInsideTheFile) {
  const std::string bad = kStart + Call("posix", "system") + ".";
  const auto named = ElementsAre("posix.system");
  EXPECT_THAT(Found(With("extra/model.pkl", bad)), named);
  EXPECT_THAT(Found(With("attributes.pkl", kStart + "N." + bad)), named);
  EXPECT_THAT(Found(With("inner.zip", ZipOf("a/data.pkl", bad))), named);
  EXPECT_THAT(Found(With("inner.tar", TarOf("pickle", bad))), named);
  EXPECT_THAT(Found(With("inner.zip", ZipOf("b.tar", TarOf("pickle", bad)))), named);
  EXPECT_THAT(Found(With("extra/model.pkl", kStart + "N.")), IsEmpty());
  EXPECT_THAT(Found(With("extra/model.pkl", "no pickle")), IsEmpty());
}

TEST(CodeOnLoad, InAPickleThatBreaksOffBehindIt) {
  EXPECT_THAT(Found(With("extra.pkl", kStart + Call("posix", "system"))),
              ElementsAre("posix.system"));
}

TEST(CodeOnLoad, InBytesThatThePickleHandsToTorchLoad) {
  const std::string bad = kStart + Call("posix", "system") + ".";
  const std::string bytes = "B" + ckpt::testing::Little(bad.size(), 4) + bad;
  EXPECT_THAT(FoundIn(Global("torch.storage", "_load_from_bytes") + bytes + "\x85R"),
              ElementsAre("posix.system"));
}

TEST(CodeOnLoad, InAShardOfASet) {
  MemoryFiles files;
  files.Add("m.bin.index.json", R"({"weight_map": {"w": "m-1.bin"}})");
  files.Add("m-1.bin", TorchArchive(Beside(Call("posix", "system")), {kFourFloats}));
  const auto opened = OpenTorch(files, "m.bin.index.json", {});
  ASSERT_TRUE(opened) << ToString(opened.error());
  EXPECT_THAT((*opened)->manifest().runs_on_load, ElementsAre("posix.system"));
}

TEST(CodeOnLoad, EveryTestFileIsFreeOfIt) {
  for (const char* name : {"lightning.ckpt", "whole_module.pt", "scripted.pt", "parallel_adam.pth",
                           "protocol4.pt", "quantised.pt"}) {
    const auto opened = ckpt::testing::OpenFixture(name);
    ASSERT_TRUE(opened) << name;
    EXPECT_THAT((*opened)->manifest().runs_on_load, IsEmpty()) << name;
  }
}

}  // namespace
}  // namespace ckpt::formats::code_on_load_test
