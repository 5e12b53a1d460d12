#include "formats/container/scratch_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <system_error>

namespace ckpt::formats {
namespace {

Error SystemError(std::string_view what, std::string file = {}) {
  return Error{ErrorCode::kIo,
               std::string(what) + ": " + std::generic_category().message(errno),
               std::move(file),
               {},
               {}};
}

class DescriptorFile : public RandomAccessFile {
 public:
  DescriptorFile(std::string name, int descriptor, std::uint64_t size)
      : name_(std::move(name)), descriptor_(descriptor), size_(size) {}
  ~DescriptorFile() override { ::close(descriptor_); }
  DescriptorFile(const DescriptorFile&) = delete;
  DescriptorFile& operator=(const DescriptorFile&) = delete;

  const std::string& path() const noexcept override { return name_; }
  std::uint64_t size() const noexcept override { return size_; }
  int descriptor() const noexcept override { return descriptor_; }

  Status ReadAt(std::uint64_t offset, std::span<std::byte> out) const override {
    while (!out.empty()) {
      const ssize_t got = ::pread(descriptor_, out.data(), out.size(), static_cast<off_t>(offset));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return Fail(SystemError("cannot read", name_));
      if (got == 0) {
        return Fail(
            Error{ErrorCode::kCorrupt, "it ends before what was to be read", name_, offset, {}});
      }
      out = out.subspan(static_cast<std::size_t>(got));
      offset += static_cast<std::uint64_t>(got);
    }
    return {};
  }

 private:
  std::string name_;
  int descriptor_;
  std::uint64_t size_;
};

}  // namespace

Result<std::unique_ptr<ScratchFile>> ScratchFile::Create(const std::filesystem::path& folder) {
  std::string name = (folder / ".ckpt-scratch-XXXXXX").string();
  const int descriptor = ::mkostemp(name.data(), O_CLOEXEC);
  if (descriptor < 0) return Fail(SystemError("cannot create a temporary file", folder.string()));
  ::unlink(name.c_str());
  return std::unique_ptr<ScratchFile>(new ScratchFile(descriptor));
}

ScratchFile::~ScratchFile() { ::close(descriptor_); }

Status ScratchFile::Append(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t put = ::write(descriptor_, bytes.data(), bytes.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return Fail(SystemError("cannot write a temporary file"));
    bytes = bytes.subspan(static_cast<std::size_t>(put));
  }
  return {};
}

Result<std::shared_ptr<const RandomAccessFile>> ScratchFile::Read(std::string name) const {
  struct stat status {};
  const int copy = ::fcntl(descriptor_, F_DUPFD_CLOEXEC, 0);
  if (copy < 0 || ::fstat(copy, &status) != 0) {
    Error error = SystemError("cannot read a temporary file");
    if (copy >= 0) ::close(copy);
    return Fail(std::move(error));
  }
  return std::shared_ptr<const RandomAccessFile>(std::make_shared<DescriptorFile>(
      std::move(name), copy, static_cast<std::uint64_t>(status.st_size)));
}

}  // namespace ckpt::formats
