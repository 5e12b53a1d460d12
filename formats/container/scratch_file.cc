#include "formats/container/scratch_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <system_error>

#include "formats/container/positioned_write.h"

namespace ckpt::formats {
namespace {

Error SystemError(std::string_view what, std::string file = {}) {
  return Error{ErrorCode::kIo, std::string(what) + ": " + std::generic_category().message(errno)}
      .In(std::move(file));
}

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

Status ScratchFile::WriteAt(std::uint64_t offset, std::span<const std::byte> bytes) {
  errno = WriteAllAt(descriptor_, bytes, offset);
  if (errno != 0) return Fail(SystemError("cannot write a temporary file"));
  return {};
}

Status ScratchFile::Resize(std::uint64_t size) {
  if (::ftruncate(descriptor_, static_cast<off_t>(size)) == 0) return {};
  return Fail(SystemError("cannot make a temporary file of " + std::to_string(size) + " bytes"));
}

Status ScratchFile::ReadAt(std::uint64_t offset, std::span<std::byte> out) const {
  while (!out.empty()) {
    const ssize_t got = ::pread(descriptor_, out.data(), out.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return Fail(SystemError("cannot read a temporary file"));
    out = out.subspan(static_cast<std::size_t>(got));
    offset += static_cast<std::uint64_t>(got);
  }
  return {};
}

Result<std::shared_ptr<const RandomAccessFile>> ScratchFile::Read(std::string name) const {
  const int copy = ::fcntl(descriptor_, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) return Fail(SystemError("cannot read a temporary file"));
  return WrapDescriptor(name, copy);
}

}  // namespace ckpt::formats
