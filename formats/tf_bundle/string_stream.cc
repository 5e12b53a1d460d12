#include <algorithm>
#include <array>
#include <utility>

#include "formats/container/range_stream.h"
#include "formats/encoding/checksum.h"
#include "formats/tf_bundle/sticky_stream.h"
#include "formats/tf_bundle/tensor_streams.h"

namespace ckpt::formats {
namespace {

// Reads the lengths of a tensor of strings, one after another.
class LengthReader {
 public:
  LengthReader(const StreamSource& source, SharedFile file, const ShardRange& range,
               std::uint64_t count)
      : source_(source),
        file_(file),
        range_(range),
        bytes_(std::move(file), range.offset, range.offset + range.size),
        left_(count) {}

  // REQUIRES: not all lengths were read.
  Result<std::uint64_t> Next() {
    std::uint64_t length = 0;
    for (unsigned shift = 0; shift < 64 && bytes_.remaining() > 0; shift += 7) {
      CKPT_ASSIGN_OR_RETURN(const std::byte byte, bytes_.Byte());
      const auto bits = std::to_integer<std::uint64_t>(byte);
      if (shift == 63 && bits > 1) break;
      length |= (bits & 0x7f) << shift;
      if (bits < 0x80) return Take(length);
    }
    return Fail(Corrupt("the length of a string is not a varint"));
  }

  // Checks the stored checksum of the lengths and that the strings end where the tensor does.
  // REQUIRES: all lengths were read. Returns where the strings begin in the file.
  Result<std::uint64_t> Finish() {
    constexpr std::uint64_t kCrcBytes = sizeof(std::uint32_t);
    const std::uint64_t begin = bytes_.offset() + kCrcBytes;
    if (bytes_.remaining() < kCrcBytes || bytes_.remaining() - kCrcBytes != total_) {
      return Fail(Corrupt("the strings' lengths add up to " + std::to_string(total_) +
                          " bytes, which is not what the tensor has"));
    }
    std::uint32_t stored = 0;
    for (unsigned i = 0; i < kCrcBytes; ++i) {
      CKPT_ASSIGN_OR_RETURN(const std::byte byte, bytes_.Byte());
      const unsigned shift = 8 * (source_.big_endian ? 3 - i : i);
      stored |= std::to_integer<std::uint32_t>(byte) << shift;
      stored_crc_[i] = byte;
    }
    if (UnmaskCrc(stored) != crc_) {
      return Fail(Corrupt("the strings' lengths do not match their checksum: stored " +
                          std::to_string(UnmaskCrc(stored)) + ", computed " +
                          std::to_string(crc_)));
    }
    return begin;
  }

  std::uint64_t left() const noexcept { return left_; }
  std::uint64_t total() const noexcept { return total_; }
  // The tensor's checksum goes on from here with the bytes of the strings.
  std::uint32_t crc() const { return Crc32c(stored_crc_, crc_); }

 private:
  Error Corrupt(std::string message) const {
    return Error{ErrorCode::kCorrupt, std::move(message)}.In(file_->path()).At(range_.offset);
  }

  // The checksum takes a length as four bytes, or as eight where it needs them, in the bundle's
  // byte order.
  Result<std::uint64_t> Take(std::uint64_t length) {
    if (length > range_.size - total_) {
      return Fail(
          Corrupt("a string of " + std::to_string(length) + " bytes is longer than the tensor"));
    }
    std::array<std::byte, 8> bytes;
    const std::size_t size = length > UINT32_MAX ? 8 : 4;
    for (std::size_t i = 0; i < size; ++i) {
      const std::size_t shift = 8 * (source_.big_endian ? size - 1 - i : i);
      bytes[i] = static_cast<std::byte>(length >> shift & 0xff);
    }
    crc_ = Crc32c(std::span(bytes).first(size), crc_);
    total_ += length;
    --left_;
    return length;
  }

  const StreamSource& source_;
  SharedFile file_;
  ShardRange range_;
  BufferedRange bytes_;
  std::uint64_t left_;
  std::uint64_t total_ = 0;
  std::uint32_t crc_ = 0;
  std::array<std::byte, 4> stored_crc_{};
};

class StringsStream : public StickyStream {
 public:
  StringsStream(StreamSource source, SharedFile file, const ShardRange& range, std::uint64_t count)
      : StickyStream(source.name),
        source_(std::move(source)),
        file_(std::move(file)),
        range_(range),
        lengths_(source_, file_, range, count),
        strings_(file_, range.offset, range.offset),
        count_(count) {}

 protected:
  Result<std::span<const std::byte>> Produce() override {
    if (!checked_) CKPT_RETURN_IF_ERROR(CheckLengths());
    chunk_.clear();
    while (chunk_.size() + kLengthBytes <= kStreamChunkBytes &&
           (left_in_string_ > 0 || lengths_.left() > 0)) {
      if (left_in_string_ == 0) {
        CKPT_RETURN_IF_ERROR(BeginString());
      } else {
        if (strings_.remaining() == 0) return Fail(Changed());
        CKPT_ASSIGN_OR_RETURN(const auto bytes,
                              strings_.Take(std::min<std::uint64_t>(
                                  left_in_string_, kStreamChunkBytes - chunk_.size())));
        crc_ = Crc32c(bytes, crc_);
        left_in_string_ -= bytes.size();
        chunk_.insert(chunk_.end(), bytes.begin(), bytes.end());
      }
    }
    if (chunk_.empty() && crc_ != range_.crc32c) {
      return Fail(ChecksumMismatch(*file_, range_, crc_));
    }
    return std::span<const std::byte>(chunk_);
  }

 private:
  static constexpr std::size_t kLengthBytes = sizeof(std::uint64_t);

  // All lengths are looked at before the first string is given out.
  Status CheckLengths() {
    LengthReader reader(source_, file_, range_, count_);
    while (reader.left() > 0) {
      if (auto length = reader.Next(); !length) return Fail(length);
    }
    CKPT_ASSIGN_OR_RETURN(const std::uint64_t begin, reader.Finish());
    strings_ = BufferedRange(file_, begin, begin + reader.total());
    crc_ = reader.crc();
    checked_ = true;
    return {};
  }

  Error Changed() const {
    return Error{ErrorCode::kCorrupt, "the file changed while it was read"}
        .In(file_->path())
        .At(range_.offset);
  }

  Status BeginString() {
    CKPT_ASSIGN_OR_RETURN(left_in_string_, lengths_.Next());
    for (std::size_t i = 0; i < kLengthBytes; ++i) {
      chunk_.push_back(static_cast<std::byte>(left_in_string_ >> (8 * i) & 0xff));
    }
    return {};
  }

  StreamSource source_;
  SharedFile file_;
  ShardRange range_;
  LengthReader lengths_;
  BufferedRange strings_;
  std::uint64_t count_;
  bool checked_ = false;
  std::uint64_t left_in_string_ = 0;
  std::uint32_t crc_ = 0;
  std::vector<std::byte> chunk_;
};

}  // namespace

std::unique_ptr<TensorStream> StreamStrings(StreamSource source, SharedFile file,
                                            const ShardRange& range, std::uint64_t count) {
  return std::make_unique<StringsStream>(std::move(source), std::move(file), range, count);
}

Result<std::uint64_t> StringStreamSize(const StreamSource& source, SharedFile file,
                                       const ShardRange& range, std::uint64_t count) {
  LengthReader reader(source, std::move(file), range, count);
  while (reader.left() > 0) {
    if (auto length = reader.Next(); !length) return Fail(length);
  }
  CKPT_ASSIGN_OR_RETURN([[maybe_unused]] const std::uint64_t begin, reader.Finish());
  return count * sizeof(std::uint64_t) + reader.total();
}

}  // namespace ckpt::formats
