// Fixtures cut short and with single bits flipped: an error in words, or a checkpoint whose tensors
// are read to the end or refused. These formats have no checksums, so values may differ.
#include <gtest/gtest.h>

#include <cctype>
#include <fstream>
#include <string>
#include <vector>

#include "ckpt/batch_norm.h"
#include "ckpt/formats/format.h"
#include "formats/container/file.h"
#include "tests/support/paths.h"

namespace ckpt::formats::sweep_test {
namespace {

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.is_open()) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

struct Target {
  const char* format;
  const char* folder;
  const char* open;                 // the file that is named to the reader
  const char* damaged;              // the file that is damaged
  std::vector<const char*> beside;  // the others that it reads
  bool cuts_are_errors;             // by its own structure
};

class OtherFrameworksSweep : public ::testing::TestWithParam<Target> {
 protected:
  // Was it opened?
  bool Try(const std::string& damaged) const {
    const Target& target = GetParam();
    MemoryFiles files;
    files.Add(target.damaged, damaged);
    for (const char* name : target.beside) files.Add(name, ReadFile(Path(name)));
    const auto opened = FindFormat(target.format)->open(files, target.open, {});
    if (!opened) {
      EXPECT_FALSE(opened.error().message.empty());
      EXPECT_NE(opened.error().code, ErrorCode::kInternal) << opened.error().message;
      return false;
    }
    const Manifest& manifest = (*opened)->manifest();
    for (std::uint32_t i = 0; i < manifest.tensors.size(); ++i) {
      const auto bytes = ReadBytes(**opened, TensorId{i}, 1 << 22);
      if (bytes) {
        EXPECT_EQ(bytes->size(), manifest.tensors[i].byte_size) << manifest.tensors[i].name;
      } else {
        EXPECT_NE(bytes.error().code, ErrorCode::kInternal) << ToString(bytes.error());
      }
    }
    (void)Analyse(manifest);
    return true;
  }

  static std::string Path(const std::string& name) {
    return ckpt::testing::TestData() + "/" + GetParam().folder + "/" + name;
  }
};

TEST_P(OtherFrameworksSweep, EveryCutIsHandled) {
  const std::string bytes = ReadFile(Path(GetParam().damaged));
  ASSERT_TRUE(Try(bytes));
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    const bool opened = Try(bytes.substr(0, size));
    if (GetParam().cuts_are_errors) {
      EXPECT_FALSE(opened) << size;
    }
  }
}

TEST_P(OtherFrameworksSweep, EveryBitFlipIsHandled) {
  const std::string bytes = ReadFile(Path(GetParam().damaged));
  std::size_t refused = 0;
  for (std::size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    std::string flipped = bytes;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    refused += Try(flipped) ? 0U : 1U;
  }
  EXPECT_GT(refused, 0U);
}

INSTANTIATE_TEST_SUITE_P(
    , OtherFrameworksSweep,
    ::testing::Values(
        Target{"flax", "flax", "model.msgpack", "model.msgpack", {}, true},
        Target{"flax", "flax", "chunked.msgpack", "chunked.msgpack", {}, true},
        Target{"flax", "flax", "dtypes.msgpack", "dtypes.msgpack", {}, true},
        Target{"darknet",
               "darknet",
               "lone_alexeyab.weights",
               "lone_alexeyab.weights",
               {"lone_alexeyab.cfg"},
               false},
        Target{"darknet", "darknet", "small.weights", "small.cfg", {"small.weights"}, false},
        Target{"caffe", "caffe", "v1.caffemodel", "v1.caffemodel", {}, false},
        Target{"caffe", "caffe", "small.caffemodel", "small.caffemodel", {}, false},
        Target{"mxnet", "mxnet_real", "gluon.params", "gluon.params", {}, true},
        Target{"mxnet", "mxnet", "net-0010.params", "net-symbol.json", {"net-0010.params"}, true},
        Target{"tfjs",
               "tfjs/quantized",
               "model.json",
               "model.json",
               {"group1-shard1of2.bin", "group1-shard2of2.bin"},
               true}),
    [](const auto& instance) {
      std::string name = instance.param.damaged;
      for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
      return name;
    });

}  // namespace
}  // namespace ckpt::formats::sweep_test
