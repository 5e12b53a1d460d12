// Tensors whose blocks are not held: read in pieces, from files put together by hand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "formats/tf_bundle/large_block.h"
#include "formats/tf_v1/saved_slices.h"
#include "formats/tf_v1/tf_v1.h"
#include "tests/tf_v1/saved_file_builder.h"

namespace ckpt::formats::large_blocks_test {
namespace {

using ::testing::HasSubstr;

constexpr std::int64_t kCount = 1'500'000;  // 6 MB of floats

float Value(std::int64_t i) { return static_cast<float>(i % 1000) + 0.5F; }

SavedFileBuilder Large() {
  std::vector<float> values;
  for (std::int64_t i = 0; i < kCount; ++i) values.push_back(Value(i));
  SavedFileBuilder builder;
  builder.Add("a_small", kTfFloat, {2}, Field(5, Floats({1, 2})));
  builder.Add("large", kTfFloat, {kCount}, Field(5, Floats(values)));
  builder.Add("z_small", kTfFloat, {1}, Field(5, Floats({3})));
  return builder;
}

// Remembers how much was asked for at once.
class WatchedFile : public RandomAccessFile {
 public:
  explicit WatchedFile(std::string bytes) : bytes_(std::move(bytes)) {}
  const std::string& path() const noexcept override { return path_; }
  std::uint64_t size() const noexcept override { return bytes_.size(); }
  Status ReadAt(std::uint64_t offset, std::span<std::byte> out) const override {
    largest_ = std::max(largest_, out.size());
    if (offset > bytes_.size() || out.size() > bytes_.size() - offset) {
      return Fail(ErrorCode::kCorrupt, "ends before");
    }
    std::memcpy(out.data(), bytes_.data() + offset, out.size());
    return {};
  }
  std::size_t largest() const { return largest_; }

 private:
  std::string path_ = "v1", bytes_;
  mutable std::size_t largest_ = 0;
};

std::string RefusalOf(const std::string& bytes) {
  MemoryFiles files;
  files.Add("v1", bytes);
  const auto opened = OpenTfV1(files, "v1", {});
  return opened ? "" : ToString(opened.error());
}

TEST(V1LargeBlocks, AreReadInPieces) {
  const std::string bytes = Large().Build();
  ASSERT_GT(bytes.size(), kHeldBlockBytes);
  const WatchedFile file(bytes);
  const auto saved = ReadSavedSlices(file, {});
  ASSERT_TRUE(saved) << ToString(saved.error());
  EXPECT_EQ(saved->size(), 3U);
  EXPECT_LE(file.largest(), std::size_t{1} << 20);

  MemoryFiles files;
  files.Add("v1", bytes);
  const auto opened = OpenTfV1(files, "v1", {});
  ASSERT_TRUE(opened) << ToString(opened.error());
  const auto id = FindTensor((*opened)->manifest(), "large");
  ASSERT_TRUE(id);
  const auto values = ReadDoubles(**opened, *id, kCount);
  ASSERT_TRUE(values) << ToString(values.error());
  for (std::int64_t i = 0; i < kCount; ++i) {
    ASSERT_EQ((*values)[static_cast<std::size_t>(i)], static_cast<double>(Value(i))) << i;
  }
  EXPECT_EQ(*ReadDoubles(**opened, *FindTensor((*opened)->manifest(), "z_small"), 1),
            std::vector<double>{3});
}

TEST(V1LargeBlocks, HoldStringsToo) {
  constexpr std::int64_t kStrings = 100'000;
  std::string proto;
  for (std::int64_t i = 0; i < kStrings; ++i) {
    proto += Field(8, std::string(60, static_cast<char>('a' + i % 26)));
  }
  for (const std::int64_t wanted : {kStrings, kStrings + 1}) {
    SavedFileBuilder builder;
    builder.Add("names", kTfString, {wanted}, proto);
    const std::string bytes = builder.Build();
    ASSERT_GT(bytes.size(), kHeldBlockBytes);
    if (wanted != kStrings) {
      EXPECT_THAT(RefusalOf(bytes), HasSubstr("has 100000 strings"));
      continue;
    }
    MemoryFiles files;
    files.Add("v1", bytes);
    const auto opened = OpenTfV1(files, "v1", {});
    ASSERT_TRUE(opened) << ToString(opened.error());
    EXPECT_EQ((*opened)->manifest().tensors[0].byte_size, kStrings * 68U);
    EXPECT_EQ(ReadBytes(**opened, TensorId{0}, 1 << 24)->size(), kStrings * 68U);
  }
}

TEST(V1LargeBlocks, AreCheckedAsSmallOnesAre) {
  const std::string sound = Large().Build();
  EXPECT_EQ(RefusalOf(sound), "");
  std::string flipped = sound;
  flipped[sound.size() / 2] = static_cast<char>(flipped[sound.size() / 2] ^ 1);
  EXPECT_THAT(RefusalOf(flipped), HasSubstr("does not match its checksum"));

  SavedFileBuilder unlisted = Large();
  unlisted.head.mutable_meta()->mutable_tensor()->DeleteSubrange(1, 1);
  EXPECT_THAT(RefusalOf(unlisted.Build()), HasSubstr("that its head does not list"));

  SavedFileBuilder renamed = Large();
  for (auto& [key, value] : renamed.data) {
    if (value.size() > kHeldBlockBytes) value.replace(value.find("large"), 5, "other");
  }
  EXPECT_THAT(RefusalOf(renamed.Build()), HasSubstr("is not the data of one of its slices"));

  // Entries by hand, sealed again: out of order, sharing too much, cut off, a restart that is none.
  const auto table = [](const std::string& contents) {
    TableParts parts;
    parts.blocks = {Seal(contents)};
    parts.separators = {"zzz"};
    return parts.Build();
  };
  const std::string head = [] {
    const std::string message = Large().head.SerializeAsString();
    return Varint(0) + Varint(0) + Varint(message.size()) + message;
  }();
  const std::string filling =
      Varint(0) + Varint(1) + Varint(5'000'000) + "k" + std::string(5'000'000, '\0');
  const std::string end = Fixed32(0) + Fixed32(1);
  EXPECT_THAT(RefusalOf(table(filling + end)), HasSubstr("the first entry is not the head"));
  EXPECT_THAT(RefusalOf(table(head + Varint(9) + filling.substr(1) + end)),
              HasSubstr("shares 9 bytes"));
  EXPECT_THAT(RefusalOf(table(head + filling.substr(0, 4'500'000) + end)),
              HasSubstr("an entry is cut off"));
  EXPECT_THAT(RefusalOf(table(filling + Fixed32(7) + Fixed32(1))), HasSubstr("is not a restart"));
  EXPECT_THAT(RefusalOf(table(filling + Fixed32(0) + Fixed32(0xFFFFFF))),
              HasSubstr("restarts, more than it has room for"));
  EXPECT_THAT(RefusalOf(table(Varint(0) + Varint(100'000) + Varint(5'000'000) +
                              std::string(5'100'000, 'k') + end)),
              HasSubstr("longer than names may be"));
}

}  // namespace
}  // namespace ckpt::formats::large_blocks_test
