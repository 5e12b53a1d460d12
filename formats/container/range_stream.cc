#include "formats/container/range_stream.h"

#include <algorithm>
#include <vector>

namespace ckpt::formats {
namespace {

class RangeStream : public TensorStream {
 public:
  RangeStream(std::shared_ptr<const RandomAccessFile> file, std::uint64_t offset,
              std::uint64_t size, std::string tensor)
      : file_(std::move(file)), offset_(offset), left_(size), tensor_(std::move(tensor)) {}

  Result<std::span<const std::byte>> Next() override {
    const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(left_, kStreamChunkBytes));
    if (buffer_.size() < size) buffer_.resize(size);
    const std::span<std::byte> chunk = std::span(buffer_).first(size);
    if (Status read = file_->ReadAt(offset_, chunk); !read) {
      read.error().tensor = tensor_;
      return Fail(read);
    }
    offset_ += size;
    left_ -= size;
    return chunk;
  }

 private:
  std::shared_ptr<const RandomAccessFile> file_;
  std::uint64_t offset_, left_;
  std::string tensor_;
  std::vector<std::byte> buffer_;
};

}  // namespace

std::unique_ptr<TensorStream> StreamRange(std::shared_ptr<const RandomAccessFile> file,
                                          std::uint64_t offset, std::uint64_t size,
                                          std::string tensor) {
  file->WillRead(offset, size);
  return std::make_unique<RangeStream>(std::move(file), offset, size, std::move(tensor));
}

}  // namespace ckpt::formats
