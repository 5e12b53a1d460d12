#include "formats/container/partial_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "formats/container/positioned_write.h"
#include "formats/container/system_error.h"

namespace ckpt::formats {
namespace {

namespace fs = std::filesystem;

Status WriteAll(int descriptor, const fs::path& path, std::span<const std::byte> bytes,
                std::uint64_t offset) {
  const int failed = WriteAllAt(descriptor, bytes, offset);
  if (failed != 0) return Fail(SystemErrorOf(path, "cannot write", failed));
  return {};
}

}  // namespace

Status SyncPath(const fs::path& path, const fs::path& what, int flags) {
  const int descriptor = ::open(path.c_str(), flags | O_CLOEXEC);
  if (descriptor < 0) return Fail(SystemErrorOf(what, "cannot open to flush", errno));
  const int failed = ::fsync(descriptor) == 0 ? 0 : errno;
  ::close(descriptor);
  // Some file systems refuse fsync on a folder; that is no failure of the data.
  if (failed != 0 && !((flags & O_DIRECTORY) != 0 && (failed == EINVAL || failed == EROFS))) {
    return Fail(SystemErrorOf(what, "cannot flush to the disk", failed));
  }
  return {};
}

Result<std::unique_ptr<PartialFile>> PartialFile::Create(fs::path target, fs::path temporary) {
  const int descriptor =
      ::open(temporary.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
  if (descriptor < 0) return Fail(SystemErrorOf(target, "cannot create", errno));
  return std::unique_ptr<PartialFile>(
      new PartialFile(std::move(target), std::move(temporary), descriptor));
}

PartialFile::PartialFile(fs::path target, fs::path temporary, int descriptor)
    : target_(std::move(target)), temporary_(std::move(temporary)), descriptor_(descriptor) {}

PartialFile::~PartialFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

Status PartialFile::Append(std::span<const std::byte> bytes) {
  CKPT_RETURN_IF_ERROR(WriteAll(descriptor_, target_, bytes, size_));
  Grown(bytes.size());
  return {};
}

void PartialFile::Grown(std::uint64_t bytes) {
  size_ += bytes;
  if (digest_ != nullptr && !to_rewrite_) digest_->Settle(size_);
  write_back_.WrittenTo(descriptor_, size_);
}

Status PartialFile::AppendedByPath() {
  struct stat now {};
  if (::fstat(descriptor_, &now) != 0) return Fail(SystemErrorOf(target_, "cannot look at", errno));
  const auto end = static_cast<std::uint64_t>(now.st_size);
  if (end < size_) return Fail(ErrorCode::kInternal, "less is in the file than was written");
  Grown(end - size_);
  return {};
}

void PartialFile::WillRewrite(std::uint64_t offset) { to_rewrite_ = offset; }

Status PartialFile::WriteAt(std::uint64_t offset, std::span<const std::byte> bytes) {
  CKPT_RETURN_IF_ERROR(WriteAll(descriptor_, target_, bytes, offset));
  if (digest_ == nullptr) return {};
  if (!to_rewrite_ || offset < *to_rewrite_) digest_->Spoil();
  to_rewrite_.reset();
  digest_->Settle(size_);
  return {};
}

Status PartialFile::Reserve(std::uint64_t bytes) const {
  const int failed =
      ::fallocate(descriptor_, FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(bytes)) == 0 ? 0 : errno;
  if (failed == ENOSPC || failed == EFBIG || failed == EDQUOT) {
    return Fail(
        SystemErrorOf(target_, "cannot reserve " + std::to_string(bytes) + " bytes", failed));
  }
  return {};  // other failures: the file system cannot reserve
}

Status PartialFile::TakeOverMode() const {
  struct stat old {
  }, now{};
  if (::stat(target_.c_str(), &old) != 0 || !S_ISREG(old.st_mode)) return {};
  if (::fstat(descriptor_, &now) == 0 && (now.st_uid != old.st_uid || now.st_gid != old.st_gid) &&
      ::fchown(descriptor_, old.st_uid, old.st_gid) != 0) {
    // Another user's file: the new one is this user's, as everywhere.
  }
  if (::fchmod(descriptor_, old.st_mode & 07777) != 0) {
    return Fail(SystemErrorOf(target_, "cannot take over the mode of the older file", errno));
  }
  return {};
}

Status PartialFile::Finish() {
  if (size_ > 0 && ::ftruncate(descriptor_, static_cast<off_t>(size_)) != 0) {
    return Fail(SystemErrorOf(target_, "cannot truncate", errno));
  }
  CKPT_RETURN_IF_ERROR(TakeOverMode());
  // A library that wrote by path may have replaced the file: flush what the path names now.
  CKPT_RETURN_IF_ERROR(SyncPath(temporary_, target_, O_RDWR));
  const int closing = std::exchange(descriptor_, -1);
  if (::close(closing) != 0) return Fail(SystemErrorOf(target_, "cannot close", errno));
  return {};
}

}  // namespace ckpt::formats
