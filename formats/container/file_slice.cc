#include "formats/container/file_slice.h"

#include "formats/encoding/byte_reader.h"

namespace ckpt::formats {
namespace {

class FileSlice : public RandomAccessFile {
 public:
  FileSlice(std::shared_ptr<const RandomAccessFile> file, std::uint64_t offset, std::uint64_t size,
            std::string name)
      : file_(std::move(file)), offset_(offset), size_(size), name_(std::move(name)) {}

  const std::string& path() const noexcept override { return name_; }
  std::uint64_t size() const noexcept override { return size_; }
  int descriptor() const noexcept override { return file_->descriptor(); }

  Status ReadAt(std::uint64_t offset, std::span<std::byte> out) const override {
    if (!RangeFits(offset, out.size(), size_)) {
      return Fail(
          Error{ErrorCode::kCorrupt, "it ends before what was to be read"}.In(name_).At(offset));
    }
    return file_->ReadAt(offset_ + offset, out);
  }
  void WillRead(std::uint64_t offset, std::uint64_t size) const override {
    if (RangeFits(offset, size, size_)) file_->WillRead(offset_ + offset, size);
  }
  Result<std::shared_ptr<const RandomAccessFile>> OnDisk(std::uint64_t offset,
                                                         std::uint64_t size) const override {
    CKPT_ASSIGN_OR_RETURN(auto file, file_->OnDisk(offset_ + offset, size));
    return file == nullptr ? file : SliceOfFile(std::move(file), offset_, size_, name_);
  }

 private:
  std::shared_ptr<const RandomAccessFile> file_;
  std::uint64_t offset_, size_;
  std::string name_;
};

}  // namespace

std::shared_ptr<const RandomAccessFile> SliceOfFile(std::shared_ptr<const RandomAccessFile> file,
                                                    std::uint64_t offset, std::uint64_t size,
                                                    std::string name) {
  return std::make_shared<FileSlice>(std::move(file), offset, size, std::move(name));
}

}  // namespace ckpt::formats
