// A fixed number of damaged copies of real files: each is refused in words or read to the end, and
// nothing else ever happens.
#include <gtest/gtest.h>

#include <random>

#include "formats/container/zip_archive.h"
#include "formats/torch/script_source.h"
#include "tests/torch/torch_files.h"

namespace ckpt::formats::mutants_test {
namespace {

using ckpt::testing::FileBytes;
using ckpt::testing::OpenBytes;
using ckpt::testing::TorchFile;

constexpr std::uint64_t kMaxTensor = std::uint64_t{1} << 24;

// 1 where it was refused.
std::size_t OpenAndStream(const std::string& bytes) {
  const auto opened = OpenBytes(bytes);
  if (!opened) {
    EXPECT_FALSE(opened.error().message.empty());
    EXPECT_EQ(opened.error().file, "model.pt") << opened.error().message;
    return 1;
  }
  const Manifest& manifest = (*opened)->manifest();
  for (std::uint32_t i = 0; i < manifest.tensors.size(); ++i) {
    const auto read = ReadBytes(**opened, TensorId{i}, kMaxTensor);
    if (read) {
      EXPECT_EQ(read->size(), manifest.tensors[i].byte_size);
    } else {
      EXPECT_FALSE(read.error().message.empty());
    }
  }
  return 0;
}

std::string Mutant(std::string bytes, std::mt19937& random, std::size_t first, std::size_t last) {
  const auto any = [&](std::size_t bound) {
    return std::uniform_int_distribution<std::size_t>(0, bound - 1)(random);
  };
  const std::size_t changes = 1 + any(3);
  for (std::size_t i = 0; i < changes; ++i) {
    const std::size_t at = first + any(last - first);
    switch (any(4)) {
      case 0:
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << any(8)));
        break;
      case 1:
        bytes[at] = static_cast<char>(any(256));
        break;
      case 2: {
        // Bytes of extreme numbers.
        const std::size_t size = std::min<std::size_t>(1 + any(8), last - at);
        for (std::size_t j = 0; j < size; ++j) bytes[at + j] = any(2) == 0 ? '\xff' : '\0';
        break;
      }
      default: {
        // A piece of the file over another.
        const std::size_t from = first + any(last - first);
        const std::size_t size = std::min({1 + any(16), last - at, last - from});
        bytes.replace(at, size, std::string(bytes, from, size));
      }
    }
  }
  return bytes;
}

class Mutants : public ::testing::TestWithParam<const char*> {};

TEST_P(Mutants, OfTheWholeFile) {
  const std::string sound = FileBytes(TorchFile(GetParam()));
  std::mt19937 random(1);
  for (int i = 0; i < 400; ++i) OpenAndStream(Mutant(sound, random, 0, sound.size()));
}

// Only the pickle is damaged, and the archive's checksums are not compared.
TEST_P(Mutants, OfThePickleBehindGoodChecksums) {
  const std::string sound = FileBytes(TorchFile(GetParam()));
  MemoryFiles files;
  files.Add("model.pt", sound);
  auto archive = ZipArchive::Open(*files.Open("model.pt"), {});
  ckpt::testing::ZipFile zip;
  std::size_t pickle = 0;
  std::mt19937 random(2);
  if (!archive) {  // a legacy stream has no checksums, and its pickles come first
    for (int i = 0; i < 800; ++i) OpenAndStream(Mutant(sound, random, 15, sound.size() * 2 / 3));
    return;
  }
  for (std::size_t i = 0; i < archive->members().size(); ++i) {
    const std::string& name = archive->members()[i].name;
    if (name.ends_with("/data.pkl")) pickle = i;
    zip.parts.push_back(ckpt::testing::Stored(name, *archive->Read(i, 1 << 24)));
  }
  const std::string of_pickle = zip.parts[pickle].data;
  std::size_t refused = 0;
  for (int i = 0; i < 800; ++i) {
    zip.parts[pickle] = ckpt::testing::Stored(archive->members()[pickle].name,
                                              Mutant(of_pickle, random, 0, of_pickle.size()));
    refused += OpenAndStream(zip.Build());
  }
  EXPECT_GT(refused, 80U) << "most of a pickle cannot be otherwise";
}

// Whatever TorchScript's source is turned into, it is read to its end.
TEST(SourceMutants, AreReadAsFarAsTheyGo) {
  const std::string sound =
      "class A(Module):\n  __parameters__ = [\"weight\", ]\n  eps : Final[float] = 0.001\n"
      "  size : Final[Tuple[int, int]] = (3, -1)\n  def forward(self: __torch__.A,\n"
      "    x: Tensor) -> Tensor:\n    return torch.batch_norm(x, None, \"(,\", [1, 2], True, "
      "1e-05)\n"
      "class B(Module):\n  n : Final[int] = 7\n";
  std::mt19937 random(3);
  for (int i = 0; i < 5000; ++i) {
    EXPECT_LE(ReadScriptClasses(Mutant(sound, random, 0, sound.size())).size(), 8U);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Fixtures, Mutants,
    ::testing::Values("parallel_adam.pth", "views.pt", "views_legacy.pth", "scripted.pt",
                      "whole_module_legacy.pth", "dtypes.pt", "quantised.pt", "not_plain.pt",
                      "deflated.pt", "protocol4.pt", "lightning.ckpt",
                      "../torch_modules/detector.pt", "../torch_modules/detector_legacy.pt",
                      "../torch_modules/traced_in_training.pt", "../torch_modules/arrays.pt",
                      "../torch_modules/dtensor.pt"),
    [](const auto& instance) { return std::to_string(instance.index); });

}  // namespace
}  // namespace ckpt::formats::mutants_test
