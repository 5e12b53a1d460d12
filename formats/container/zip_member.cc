// The bytes of zip members: stored ones as they stand, deflated ones through zlib.
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <new>
#include <utility>

#include "formats/container/range_stream.h"
#include "formats/container/zip_archive.h"
#include "formats/encoding/checksum.h"

namespace ckpt::formats {
namespace {

using SharedFile = std::shared_ptr<const RandomAccessFile>;

std::string Hex(std::uint32_t value) {
  std::array<char, 9> text{};
  std::snprintf(text.data(), text.size(), "%08x", value);
  return text.data();
}

// How a stream hands out its member.
struct StreamShape {
  std::uint64_t skip = 0;
  std::size_t chunk_bytes = kStreamChunkBytes;
  ZipChecksum checksum = ZipChecksum::kCheck;
};

// Skips what is to be skipped, and checks the CRC-32 of all that a member yields.
class CheckedStream : public ZipStream {
 public:
  CheckedStream(SharedFile file, ZipMember member, const StreamShape& shape)
      : file_(std::move(file)), member_(std::move(member)), shape_(shape) {}

  Result<std::span<const std::byte>> Next() override {
    while (shape_.skip > 0) {
      const auto at_most = std::min<std::uint64_t>(shape_.skip, shape_.chunk_bytes);
      CKPT_ASSIGN_OR_RETURN(const auto skipped, Checked(static_cast<std::size_t>(at_most)));
      shape_.skip -= skipped.size();
      if (skipped.empty()) return skipped;
    }
    return Checked(shape_.chunk_bytes);
  }

 protected:
  // The next bytes: `at_most` of them unless the member ends before; none at the end.
  virtual Result<std::span<const std::byte>> Produce(std::size_t at_most) = 0;

  tl::unexpected<Error> Corrupt(std::uint64_t offset, const std::string& message) const {
    return Fail(Error{ErrorCode::kCorrupt, "zip member \"" + member_.name + "\" " + message}
                    .In(file_->path())
                    .At(offset));
  }
  const RandomAccessFile& file() const { return *file_; }
  const ZipMember& member() const { return member_; }

 private:
  Result<std::span<const std::byte>> Checked(std::size_t at_most) {
    CKPT_ASSIGN_OR_RETURN(const std::span<const std::byte> chunk, Produce(at_most));
    if (shape_.checksum == ZipChecksum::kIgnore) return chunk;
    if (chunk.empty() && crc_ != member_.crc32) {
      return Corrupt(member_.data_offset,
                     "has CRC-32 " + Hex(crc_) + ", the archive says " + Hex(member_.crc32));
    }
    crc_ = Crc32(chunk, crc_);
    return chunk;
  }

  SharedFile file_;
  ZipMember member_;
  StreamShape shape_;
  std::uint32_t crc_ = 0;
};

class StoredStream : public CheckedStream {
 public:
  using CheckedStream::CheckedStream;

 private:
  Result<std::span<const std::byte>> Produce(std::size_t at_most) override {
    const auto size =
        static_cast<std::size_t>(std::min<std::uint64_t>(member().size - done_, at_most));
    if (buffer_.size() < size) buffer_.resize(size);
    const auto chunk = std::span(buffer_).first(size);
    CKPT_RETURN_IF_ERROR(file().ReadAt(member().data_offset + done_, chunk));
    done_ += size;
    return chunk;
  }

  std::uint64_t done_ = 0;
  std::vector<std::byte> buffer_;
};

class DeflatedStream : public CheckedStream {
 public:
  using CheckedStream::CheckedStream;
  ~DeflatedStream() override {
    if (started_) inflateEnd(&zlib_);
  }
  DeflatedStream(const DeflatedStream&) = delete;
  DeflatedStream& operator=(const DeflatedStream&) = delete;

 private:
  static constexpr std::size_t kInputBytes = 65536;

  Result<std::span<const std::byte>> Produce(std::size_t at_most) override {
    if (finished_) return std::span<const std::byte>();
    CKPT_RETURN_IF_ERROR(Start());
    // One byte more than what is left shows data that inflate to more than was declared.
    const auto room =
        static_cast<std::size_t>(std::min<std::uint64_t>(member().size - produced_ + 1, at_most));
    if (output_.size() < room) output_.resize(room);
    zlib_.next_out = reinterpret_cast<Bytef*>(output_.data());
    zlib_.avail_out = static_cast<uInt>(room);
    while (!finished_ && zlib_.avail_out > 0) CKPT_RETURN_IF_ERROR(Inflate());
    const std::size_t size = room - zlib_.avail_out;
    produced_ += size;
    if (produced_ > member().size || (finished_ && produced_ != member().size)) {
      return Corrupt(Position(), "does not inflate to the " + std::to_string(member().size) +
                                     " bytes that the archive says");
    }
    return std::span<const std::byte>(output_).first(size);
  }

  Status Start() {
    if (started_) return {};
    constexpr int kRawDeflate = -MAX_WBITS;
    if (inflateInit2(&zlib_, kRawDeflate) != Z_OK) {
      throw std::bad_alloc();
    }
    started_ = true;
    input_.resize(
        static_cast<std::size_t>(std::min<std::uint64_t>(member().compressed_size, kInputBytes)));
    return {};
  }

  // Where in the file the next compressed byte is.
  std::uint64_t Position() const { return member().data_offset + consumed_ - zlib_.avail_in; }

  Status Inflate() {
    if (zlib_.avail_in == 0) CKPT_RETURN_IF_ERROR(ReadInput());
    const int result = inflate(&zlib_, Z_NO_FLUSH);
    if (result == Z_STREAM_END) {
      finished_ = true;
      if (Position() == member().data_offset + member().compressed_size) return {};
      return Corrupt(Position(), "has bytes behind the end of its DEFLATE data");
    }
    if (result == Z_OK) return {};
    if (result == Z_MEM_ERROR) throw std::bad_alloc();
    return Corrupt(Position(), std::string("is not DEFLATE data: ") +
                                   (zlib_.msg == nullptr ? "it ends early" : zlib_.msg));
  }

  Status ReadInput() {
    const auto size = static_cast<std::size_t>(
        std::min<std::uint64_t>(member().compressed_size - consumed_, input_.size()));
    if (size == 0) return Corrupt(Position(), "ends before its DEFLATE data do");
    const auto input = std::span(input_).first(size);
    CKPT_RETURN_IF_ERROR(file().ReadAt(member().data_offset + consumed_, input));
    consumed_ += size;
    zlib_.next_in = reinterpret_cast<Bytef*>(input.data());
    zlib_.avail_in = static_cast<uInt>(size);
    return {};
  }

  z_stream zlib_ = {};
  bool started_ = false, finished_ = false;
  std::uint64_t consumed_ = 0, produced_ = 0;  // compressed bytes read; bytes handed out
  std::vector<std::byte> input_, output_;
};

std::unique_ptr<ZipStream> OpenStream(const SharedFile& file, const ZipMember& member,
                                      const StreamShape& shape) {
  file->WillRead(member.data_offset, member.compressed_size);
  if (member.method == ZipMethod::kStored) {
    return std::make_unique<StoredStream>(file, member, shape);
  }
  return std::make_unique<DeflatedStream>(file, member, shape);
}

}  // namespace

std::unique_ptr<ZipStream> ZipArchive::Stream(std::size_t index, std::uint64_t skip,
                                              ZipChecksum checksum) const {
  return OpenStream(file_, members_[index], {.skip = skip, .checksum = checksum});
}

Result<std::string> ZipArchive::Read(std::size_t index, std::uint64_t max_bytes) const {
  const ZipMember& member = members_[index];
  if (member.size > max_bytes) {
    return Fail(Error{ErrorCode::kLimitExceeded,
                      "zip member \"" + member.name + "\" has " + std::to_string(member.size) +
                          " bytes where at most " + std::to_string(max_bytes) + " are expected"}
                    .In(file_->path())
                    .At(member.header_offset));
  }
  std::string text;
  const std::unique_ptr<ZipStream> stream = Stream(index);
  while (true) {
    CKPT_ASSIGN_OR_RETURN(const auto chunk, stream->Next());
    if (chunk.empty()) return text;
    text.append(reinterpret_cast<const char*>(chunk.data()), chunk.size());
  }
}

Result<std::string> ZipArchive::ReadStart(std::size_t index, std::size_t bytes) const {
  if (bytes == 0) return std::string();
  const auto stream =
      OpenStream(file_, members_[index], {.chunk_bytes = bytes, .checksum = ZipChecksum::kIgnore});
  CKPT_ASSIGN_OR_RETURN(const auto chunk, stream->Next());
  return std::string(reinterpret_cast<const char*>(chunk.data()), chunk.size());
}

}  // namespace ckpt::formats
