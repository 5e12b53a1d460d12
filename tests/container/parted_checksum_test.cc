// The CRC-32 of a file of which parts passed by, against zlib's of the whole of it.
#include "formats/container/parted_checksum.h"

#include <gtest/gtest.h>
#include <zlib.h>

namespace ckpt::formats::parted_checksum_test {
namespace {

constexpr std::size_t kSize = 3'000'017;

std::vector<std::byte> Pattern() {
  std::vector<std::byte> bytes(kSize);
  for (std::size_t i = 0; i < kSize; ++i) bytes[i] = static_cast<std::byte>((i * i) >> 7);
  return bytes;
}

std::uint32_t ByZlib(std::span<const std::byte> bytes) {
  return static_cast<std::uint32_t>(
      ::crc32(0, reinterpret_cast<const Bytef*>(bytes.data()), static_cast<uInt>(bytes.size())));
}

// A file whose bytes from `begin` to `end` must not be read.
class PartlyUnread : public RandomAccessFile {
 public:
  PartlyUnread(std::vector<std::byte> bytes, std::uint64_t begin, std::uint64_t end)
      : bytes_(std::move(bytes)), begin_(begin), end_(end) {}
  const std::string& path() const noexcept override { return path_; }
  std::uint64_t size() const noexcept override { return bytes_.size(); }
  Status ReadAt(std::uint64_t offset, std::span<std::byte> out) const override {
    EXPECT_TRUE(offset + out.size() <= begin_ || offset >= end_) << offset;
    std::copy_n(bytes_.begin() + static_cast<std::ptrdiff_t>(offset), out.size(), out.begin());
    return {};
  }

 private:
  std::vector<std::byte> bytes_;
  std::uint64_t begin_, end_;
  std::string path_ = "file";
};

TEST(PartedChecksum, IsThatOfTheWholeFileHoweverItsPartsCame) {
  const auto bytes = Pattern();
  const auto all = std::span<const std::byte>(bytes);
  const PartlyUnread file(bytes, 100, 2'900'000);
  for (const std::uint64_t begin : {0U, 1U, 99U, 100U}) {
    PartedChecksum checksum;
    checksum.Add(1'500'000, all.subspan(1'500'000, 1));
    checksum.Add(1'500'001, all.subspan(1'500'001, 1'399'999));
    checksum.Add(100, all.subspan(100, 1'000'000));
    checksum.Add(1'000'100, all.subspan(1'000'100, 499'900));
    checksum.Add(2'950'000, all.subspan(2'950'000, 7));
    const auto crc32 = checksum.Of(file, begin);
    ASSERT_TRUE(crc32) << ToString(crc32.error());
    EXPECT_EQ(*crc32, ByZlib(all.subspan(begin)));
  }
}

TEST(PartedChecksum, OfAFileWithoutPartsIsReadFromIt) {
  const auto bytes = Pattern();
  EXPECT_EQ(*PartedChecksum().Of(PartlyUnread(bytes, 0, 0), 17),
            ByZlib(std::span<const std::byte>(bytes).subspan(17)));
  EXPECT_EQ(*PartedChecksum().Of(PartlyUnread(bytes, 0, 0), kSize), 0U);
}

TEST(PartedChecksum, PartsThatOverlapOrLieOutsideAreADefect) {
  const auto bytes = Pattern();
  const auto all = std::span<const std::byte>(bytes);
  const PartlyUnread file(bytes, 0, 0);
  PartedChecksum overlapping, before, behind;
  overlapping.Add(0, all.first(10));
  overlapping.Add(9, all.first(10));
  before.Add(16, all.first(10));
  behind.Add(kSize - 1, all.first(2));
  EXPECT_EQ(overlapping.Of(file, 0).error().code, ErrorCode::kInternal);
  EXPECT_EQ(before.Of(file, 17).error().code, ErrorCode::kInternal);
  EXPECT_EQ(behind.Of(file, 0).error().code, ErrorCode::kInternal);
}

}  // namespace
}  // namespace ckpt::formats::parted_checksum_test
