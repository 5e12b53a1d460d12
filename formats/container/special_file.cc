#include "formats/container/special_file.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <optional>
#include <string_view>
#include <utility>

#include "formats/container/system_error.h"

namespace ckpt::formats {
namespace {

namespace fs = std::filesystem;

std::optional<int> NumberIn(std::string_view digits) {
  int number = -1;
  const char* const last = digits.data() + digits.size();
  const auto [end, error] = std::from_chars(digits.data(), last, number);
  if (error != std::errc() || end != last || number < 0) return std::nullopt;
  return number;
}

// The descriptor that the path names by its letters, which is so without /proc, too.
std::optional<int> DescriptorByName(const fs::path& path) {
  const std::string& name = path.native();
  if (name == "/dev/stdin") return STDIN_FILENO;
  if (name == "/dev/stdout") return STDOUT_FILENO;
  if (name == "/dev/stderr") return STDERR_FILENO;
  for (const std::string_view folder : {"/dev/fd/", "/proc/self/fd/"}) {
    if (name.starts_with(folder)) return NumberIn(std::string_view(name).substr(folder.size()));
  }
  return std::nullopt;
}

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
  return own ? NumberIn(link.filename().string()) : std::nullopt;
}

}  // namespace

bool IsSpecialFile(const fs::path& path) {
  const auto number = DescriptorByName(path);
  if (number && ::fcntl(*number, F_GETFD) >= 0) return true;
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return false;
  if (S_ISCHR(status.st_mode) || S_ISBLK(status.st_mode) || S_ISFIFO(status.st_mode) ||
      S_ISSOCK(status.st_mode)) {
    return true;
  }
  return ProcLink(path).has_value();
}

Result<SpecialFile> SpecialFile::Open(const fs::path& path) {
  auto number = DescriptorByName(path);
  const auto link = number ? std::nullopt : ProcLink(path);
  if (link) number = OwnDescriptor(*link);
  if (number) return OfDescriptor(*number, path);
  const int descriptor = ::open(path.c_str(), O_WRONLY | O_APPEND | O_NOCTTY | O_CLOEXEC);
  if (descriptor < 0) return Fail(SystemErrorOf(path, "cannot open", errno));
  return SpecialFile(path, descriptor);
}

Result<SpecialFile> SpecialFile::OfDescriptor(int number, const fs::path& path) {
  const int descriptor = ::fcntl(number, F_DUPFD_CLOEXEC, 0);
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
