#include "formats/container/file_cursor.h"

#include <algorithm>

namespace ckpt::formats {
namespace {

constexpr std::uint64_t kBufferBytes = 4096;

}  // namespace

FileCursor::FileCursor(const RandomAccessFile& file, std::uint64_t begin, std::uint64_t end)
    : file_(&file), offset_(begin), end_(std::min(end, file.size())) {
  if (offset_ > end_) offset_ = end_;
}

void FileCursor::Fail(ErrorCode code, std::string message) {
  if (!error_) error_ = Error{code, std::move(message)}.In(file_->path()).At(offset_);
}

void FileCursor::Fail(Error error) {
  if (!error_) error_ = std::move(error);
}

Status FileCursor::status() const {
  if (error_) return ckpt::Fail(*error_);
  return {};
}

bool FileCursor::Need(std::uint64_t size) {
  if (error_) return false;
  if (size <= remaining()) return true;
  Fail(ErrorCode::kCorrupt, "claims " + std::to_string(size) + " more bytes where " +
                                std::to_string(remaining()) + " follow");
  return false;
}

std::uint8_t FileCursor::Next() {
  if (offset_ < buffer_at_ || offset_ >= buffer_at_ + buffer_.size()) {
    buffer_.resize(static_cast<std::size_t>(std::min(kBufferBytes, remaining())));
    buffer_at_ = offset_;
    if (const Status read = file_->ReadAt(offset_, buffer_); !read) {
      error_ = read.error();
      buffer_.clear();
      return 0;
    }
  }
  return std::to_integer<std::uint8_t>(buffer_[static_cast<std::size_t>(offset_++ - buffer_at_)]);
}

std::uint8_t FileCursor::U8() { return Need(1) ? Next() : std::uint8_t{0}; }

std::uint64_t FileCursor::Little(unsigned bytes) {
  if (!Need(bytes)) return 0;
  std::uint64_t value = 0;
  for (unsigned i = 0; i < bytes; ++i) value |= std::uint64_t{Next()} << (8 * i);
  return ok() ? value : 0;
}

std::uint64_t FileCursor::Big(unsigned bytes) {
  if (!Need(bytes)) return 0;
  std::uint64_t value = 0;
  for (unsigned i = 0; i < bytes; ++i) value = value << 8 | Next();
  return ok() ? value : 0;
}

std::uint64_t FileCursor::Varint64() {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    const std::uint64_t byte = U8();
    if (!ok()) return 0;
    if (shift == 63 && byte > 1) break;
    value |= (byte & 0x7f) << shift;
    if (byte < 0x80) return value;
  }
  Fail(ErrorCode::kCorrupt, "has a number of more than 64 bits");
  return 0;
}

std::string FileCursor::Text(std::uint64_t size, std::uint64_t max_size) {
  if (!Need(size)) return {};
  if (size > max_size) {
    Fail(ErrorCode::kLimitExceeded, "has a text of " + std::to_string(size) +
                                        " bytes, where at most " + std::to_string(max_size) +
                                        " are taken into memory");
    return {};
  }
  std::string text(static_cast<std::size_t>(size), '\0');
  for (char& c : text) c = static_cast<char>(Next());
  return ok() ? text : std::string();
}

void FileCursor::Skip(std::uint64_t size) {
  if (Need(size)) offset_ += size;
}

}  // namespace ckpt::formats
