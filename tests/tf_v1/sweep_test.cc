// Files that TensorFlow wrote, cut at every byte and with every bit flipped: an error in words or
// the same tensors, never anything else.
#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "formats/encoding/checksum.h"
#include "formats/tf_v1/tf_v1.h"
#include "tests/support/paths.h"

namespace ckpt::formats::sweep_test {
namespace {

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.is_open()) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

class V1Sweep : public ::testing::TestWithParam<std::string> {
 protected:
  V1Sweep() : bytes_(ReadFile(ckpt::testing::TestData() + "/tf/" + GetParam())) {}

  // One line for each tensor with its bytes' checksum, or nothing where the file is refused.
  static std::string Open(const std::string& bytes) {
    MemoryFiles files;
    files.Add("m", bytes);
    const auto opened = OpenTfV1(files, "m", {});
    if (!opened) {
      EXPECT_FALSE(opened.error().message.empty());
      EXPECT_EQ(opened.error().file, "m");
      return {};
    }
    std::string all = "opened\n";
    const Manifest& manifest = (*opened)->manifest();
    for (std::uint32_t i = 0; i < manifest.tensors.size(); ++i) {
      const TensorInfo& info = manifest.tensors[i];
      all += info.name + " " + std::string(Name(info.dtype)) + ToString(info.shape) + " ";
      const auto read = ReadBytes(**opened, TensorId{i}, 1 << 24);
      all += read ? std::to_string(Crc32(*read)) + "\n" : "refused\n";
      if (read) {
        EXPECT_EQ(read->size(), info.byte_size) << info.name;
      }
    }
    return all;
  }

  std::string bytes_;
};

TEST_P(V1Sweep, EveryCutIsAnError) {
  ASSERT_NE(Open(bytes_), "");
  for (std::size_t size = 0; size < bytes_.size(); ++size) {
    EXPECT_EQ(Open(bytes_.substr(0, size)), "") << size;
  }
}

TEST_P(V1Sweep, EveryBitFlipIsAnErrorOrChangesNothing) {
  const std::string sound = Open(bytes_);
  std::size_t unchanged = 0;
  for (std::size_t bit = 0; bit < 8 * bytes_.size(); ++bit) {
    std::string flipped = bytes_;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    const std::string found = Open(flipped);
    if (found.empty()) continue;
    EXPECT_EQ(found, sound) << bit;
    ++unchanged;
  }
  // The zeros that pad the footer, and a varint before them that becomes longer by one.
  EXPECT_LE(unchanged, 8U * 36U + 1U);
}

// The checksum of the first block is put right again, so that what is behind it is met. What comes
// out may differ, but it is read to the end or refused.
TEST_P(V1Sweep, EveryBitFlipBehindAGoodChecksumIsHandled) {
  const std::size_t metaindex = bytes_.find(std::string("\0\0\0\0\1\0\0\0\0", 9));
  ASSERT_NE(metaindex, std::string::npos);
  const std::size_t contents = metaindex - 5;
  std::size_t refused = 0;
  for (std::size_t bit = 0; bit < 8 * contents; ++bit) {
    std::string flipped = bytes_;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    const auto sealed = std::as_bytes(std::span(flipped)).first(contents + 1);
    const std::uint32_t crc = MaskCrc(Crc32c(sealed));
    for (std::size_t i = 0; i < 4; ++i) {
      flipped[contents + 1 + i] = static_cast<char>(crc >> (8 * i) & 0xff);
    }
    refused += Open(flipped).empty() ? 1U : 0U;
  }
  EXPECT_GT(refused, 0U);
}

INSTANTIATE_TEST_SUITE_P(, V1Sweep,
                         ::testing::Values("bundles/v1_format/model.ckpt-3",
                                           "v1/saver_sharded/model.ckpt-2-00000-of-00002"),
                         [](const auto& instance) { return std::to_string(instance.index); });

}  // namespace
}  // namespace ckpt::formats::sweep_test
