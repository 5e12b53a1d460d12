// Reads a range of a data shard front to back and keeps the checksum of what was read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "formats/container/file.h"
#include "formats/tf_bundle/bundle_index.h"

namespace ckpt::formats {

using SharedFile = std::shared_ptr<const RandomAccessFile>;

class RangeReader {
 public:
  RangeReader(SharedFile file, const ShardRange& range) : file_(std::move(file)), range_(range) {
    file_->WillRead(range_.offset, range_.size);
  }

  std::uint64_t remaining() const noexcept { return range_.size - position_; }
  std::uint64_t file_offset() const noexcept { return range_.offset + position_; }
  const RandomAccessFile& file() const noexcept { return *file_; }

  // Fills `out`. REQUIRES: out.size() <= remaining().
  Status Read(std::span<std::byte> out);
  // Does what was read match the checksum of the range? REQUIRES: remaining() == 0.
  Status Verify() const;

 private:
  SharedFile file_;
  ShardRange range_;
  std::uint64_t position_ = 0;
  std::uint32_t crc_ = 0;
};

// The error for a tensor whose bytes do not match their checksum.
Error ChecksumMismatch(const RandomAccessFile& file, const ShardRange& range,
                       std::uint32_t computed);

// Small reads from a range, through a buffer of a fixed size.
class BufferedRange {
 public:
  BufferedRange(SharedFile file, std::uint64_t begin, std::uint64_t end)
      : file_(std::move(file)), position_(begin), end_(end) {}

  const std::string& path() const noexcept { return file_->path(); }
  std::uint64_t offset() const noexcept { return position_ - (filled_ - taken_); }
  std::uint64_t remaining() const noexcept { return end_ - offset(); }
  // REQUIRES: remaining() > 0.
  Result<std::byte> Byte();
  // Takes up to `max` bytes, at least one; valid until the next call. REQUIRES: remaining() > 0.
  Result<std::span<const std::byte>> Take(std::uint64_t max);
  // Passes over bytes without reading them. REQUIRES: bytes <= remaining().
  void Skip(std::uint64_t bytes);

 private:
  Status Fill();

  SharedFile file_;
  std::uint64_t position_, end_;  // of what is not in the buffer yet
  std::vector<std::byte> buffer_;
  std::size_t taken_ = 0, filled_ = 0;
};

}  // namespace ckpt::formats
