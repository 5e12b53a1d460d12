// An index that TensorFlow wrote, cut at every byte and with every bit flipped: an error in words
// or the same tensors, never anything else.
#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "formats/encoding/checksum.h"
#include "formats/tf_bundle/tf_bundle.h"
#include "tests/support/paths.h"

namespace ckpt::formats::sweep_test {
namespace {

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.is_open()) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

class IndexSweep : public ::testing::TestWithParam<std::string> {
 protected:
  IndexSweep()
      : prefix_(ckpt::testing::TestData() + "/" + GetParam()),
        index_(ReadFile(prefix_ + ".index")),
        data_(ReadFile(prefix_ + ".data-00000-of-00001")),
        manifest_(Open(index_, false)) {}

  // One line for each tensor, or nothing where the index is refused.
  std::string Open(const std::string& index, bool read) const {
    MemoryFiles files;
    files.Add("m.index", index);
    files.Add("m.data-00000-of-00001", data_);
    const auto opened = OpenTfBundle(files, "m", {});
    if (!opened) {
      EXPECT_FALSE(opened.error().message.empty());
      EXPECT_EQ(opened.error().file, "m.index");
      return {};
    }
    std::string all;
    const Manifest& manifest = (*opened)->manifest();
    for (std::uint32_t i = 0; i < manifest.tensors.size(); ++i) {
      const TensorInfo& info = manifest.tensors[i];
      all += info.name + " " + std::string(Name(info.dtype)) + ToString(info.shape) +
             std::to_string(info.byte_size) + (info.data_present ? "\n" : " absent\n");
      if (read && info.data_present) (void)ReadBytes(**opened, TensorId{i}, 1 << 24);
    }
    return all;
  }

  std::string prefix_, index_, data_, manifest_;
};

TEST_P(IndexSweep, EveryCutIsAnError) {
  ASSERT_FALSE(manifest_.empty());
  for (std::size_t size = 0; size < index_.size(); ++size) {
    EXPECT_EQ(Open(index_.substr(0, size), true), "") << size;
  }
}

TEST_P(IndexSweep, EveryBitFlipIsAnErrorOrChangesNothing) {
  std::size_t unchanged = 0;
  for (std::size_t bit = 0; bit < 8 * index_.size(); ++bit) {
    std::string flipped = index_;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    const std::string manifest = Open(flipped, true);
    if (manifest.empty()) continue;
    EXPECT_EQ(manifest, manifest_) << bit;
    ++unchanged;
  }
  // Only the zeros that pad the footer mean nothing: at most 40 bytes less four varints.
  EXPECT_LE(unchanged, 8U * 36U);
}

// The checksum is put right again, so that what is behind it is met. What comes out may differ, but
// it is read to the end or refused.
TEST_P(IndexSweep, EveryBitFlipBehindAGoodChecksumIsHandled) {
  // The first data block begins the file; the metaindex block behind it has eight bytes of its own.
  const std::size_t metaindex = index_.find(std::string("\0\0\0\0\1\0\0\0\0", 9));
  ASSERT_NE(metaindex, std::string::npos);
  const std::size_t contents = metaindex - 5;
  std::size_t refused = 0;
  for (std::size_t bit = 0; bit < 8 * contents; ++bit) {
    std::string flipped = index_;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    const auto sealed = std::as_bytes(std::span(flipped)).first(contents + 1);
    const std::uint32_t crc = MaskCrc(Crc32c(sealed));
    for (std::size_t i = 0; i < 4; ++i) {
      flipped[contents + 1 + i] = static_cast<char>(crc >> (8 * i) & 0xff);
    }
    refused += Open(flipped, true).empty() ? 1U : 0U;
  }
  EXPECT_GT(refused, 8 * contents / 4) << "most of an index cannot be otherwise";
}

INSTANTIATE_TEST_SUITE_P(, IndexSweep,
                         ::testing::Values("tf/cases/zero_debias/model.ckpt-40",
                                           "tf/bundles/partitioned/sliced/model.ckpt-1",
                                           "tf/bundles/strings/model.ckpt"),
                         [](const auto& instance) { return std::to_string(instance.index); });

}  // namespace
}  // namespace ckpt::formats::sweep_test
