#include "formats/tf_bundle/range_reader.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <string>

#include "formats/encoding/checksum.h"

namespace ckpt::formats {
namespace {

constexpr std::size_t kBufferBytes = std::size_t{64} << 10;

std::string Hex(std::uint32_t value) {
  std::array<char, 11> text{};
  std::snprintf(text.data(), text.size(), "0x%08x", value);
  return text.data();
}

}  // namespace

Error ChecksumMismatch(const RandomAccessFile& file, const ShardRange& range,
                       std::uint32_t computed) {
  return Error{ErrorCode::kCorrupt, "checksum mismatch over " + std::to_string(range.size) +
                                        " bytes: stored " + Hex(range.crc32c) + ", computed " +
                                        Hex(computed)}
      .In(file.path())
      .At(range.offset);
}

Status RangeReader::Read(std::span<std::byte> out) {
  CKPT_RETURN_IF_ERROR(file_->ReadAt(file_offset(), out));
  crc_ = Crc32c(out, crc_);
  position_ += out.size();
  return {};
}

Status RangeReader::Verify() const {
  if (crc_ == range_.crc32c) return {};
  return Fail(ChecksumMismatch(*file_, range_, crc_));
}

Status BufferedRange::Fill() {
  const auto size =
      static_cast<std::size_t>(std::min<std::uint64_t>(kBufferBytes, end_ - position_));
  buffer_.resize(size);
  CKPT_RETURN_IF_ERROR(file_->ReadAt(position_, buffer_));
  position_ += size;
  taken_ = 0;
  filled_ = size;
  return {};
}

Result<std::byte> BufferedRange::Byte() {
  if (taken_ == filled_) CKPT_RETURN_IF_ERROR(Fill());
  return buffer_[taken_++];
}

Result<std::span<const std::byte>> BufferedRange::Take(std::uint64_t max) {
  if (taken_ == filled_) CKPT_RETURN_IF_ERROR(Fill());
  const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(max, filled_ - taken_));
  const auto bytes = std::span<const std::byte>(buffer_).subspan(taken_, size);
  taken_ += size;
  return bytes;
}

void BufferedRange::Skip(std::uint64_t bytes) {
  const auto buffered = static_cast<std::size_t>(std::min<std::uint64_t>(bytes, filled_ - taken_));
  taken_ += buffered;
  position_ += bytes - buffered;
}

}  // namespace ckpt::formats
