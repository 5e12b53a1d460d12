#include "formats/container/special_file.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <optional>
#include <utility>

#include "formats/container/system_error.h"

namespace ckpt::formats {
namespace {

namespace fs = std::filesystem;

// The link in /proc at which a chain of links ends in an open file: /proc/self/fd/1.
std::optional<fs::path> ProcLink(fs::path path) {
  constexpr int kMaxLinks = 40;
  for (int i = 0; i < kMaxLinks; ++i) {
    std::error_code failed;
    if (!fs::is_symlink(fs::symlink_status(path, failed))) return std::nullopt;
    const fs::path folder = path.parent_path().empty() ? "." : path.parent_path();
    struct statfs system {};
    if (::statfs(folder.c_str(), &system) == 0 && system.f_type == PROC_SUPER_MAGIC) return path;
    const fs::path next = fs::read_symlink(path, failed);
    if (failed) return std::nullopt;
    path = next.is_absolute() ? next : folder / next;
  }
  return std::nullopt;
}

// The number of a descriptor of this process that `link` in /proc stands for.
std::optional<int> OwnDescriptor(const fs::path& link) {
  std::error_code failed;
  const bool own = fs::equivalent(link.parent_path(), "/proc/self/fd", failed);
  const std::string name = link.filename().string();
  int number = -1;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (!own || error != std::errc() || end != name.data() + name.size()) return std::nullopt;
  return number;
}

}  // namespace

bool IsSpecialFile(const fs::path& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return false;
  if (S_ISCHR(status.st_mode) || S_ISBLK(status.st_mode) || S_ISFIFO(status.st_mode) ||
      S_ISSOCK(status.st_mode)) {
    return true;
  }
  return ProcLink(path).has_value();
}

Result<SpecialFile> SpecialFile::Open(const fs::path& path) {
  const auto link = ProcLink(path);
  const auto number = link ? OwnDescriptor(*link) : std::nullopt;
  const int descriptor = number ? ::fcntl(*number, F_DUPFD_CLOEXEC, 0)
                                : ::open(path.c_str(), O_WRONLY | O_APPEND | O_NOCTTY | O_CLOEXEC);
  if (descriptor < 0) return Fail(SystemErrorOf(path, "cannot open", errno));
  return SpecialFile(path, descriptor);
}

SpecialFile::SpecialFile(fs::path path, int descriptor)
    : path_(std::move(path)), descriptor_(descriptor) {}

SpecialFile::SpecialFile(SpecialFile&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}

SpecialFile::~SpecialFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

Status SpecialFile::Write(std::span<const std::byte> bytes) const {
  while (!bytes.empty()) {
    const ssize_t put = ::write(descriptor_, bytes.data(), bytes.size());
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return Fail(SystemErrorOf(path_, "cannot write", put < 0 ? errno : ENOSPC));
    bytes = bytes.subspan(static_cast<std::size_t>(put));
  }
  return {};
}

}  // namespace ckpt::formats
