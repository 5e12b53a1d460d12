#include "formats/container/open_beneath.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <optional>
#include <utility>

#include "formats/container/file_identity.h"
#include "formats/container/system_error.h"

namespace ckpt::formats {
namespace {

namespace fs = std::filesystem;

constexpr int kFolder = O_PATH | O_DIRECTORY | O_CLOEXEC;
// O_NONBLOCK: opening a FIFO must not wait for a writer.
constexpr int kFile = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW;
constexpr int kMaxFoldersAbove = 64;  // that are looked at for the repository of a snapshot

class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int number) : number_(number) {}
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  bool ok() const noexcept { return number_ >= 0; }
  int get() const noexcept { return number_; }
  int release() noexcept { return std::exchange(number_, -1); }

 private:
  int number_ = -1;
};

Error IsLink(const fs::path& path) {
  return Error{ErrorCode::kUnsafe,
               "is a link, and it is named inside another file; only links of a hub cache are "
               "followed there"}
      .In(path.string());
}

std::optional<FileIdentity> IdentityBehind(const Descriptor& descriptor) {
  struct stat status {};
  if (!descriptor.ok() || ::fstat(descriptor.get(), &status) != 0) return std::nullopt;
  return IdentityOf(status);
}

bool IsLinkIn(const Descriptor& folder, const std::string& name) {
  struct stat status {};
  return ::fstatat(folder.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0 &&
         S_ISLNK(status.st_mode);
}

std::optional<fs::path> TargetOf(const Descriptor& folder, const std::string& link) {
  std::array<char, PATH_MAX> text{};
  const ssize_t size = ::readlinkat(folder.get(), link.c_str(), text.data(), text.size());
  if (size <= 0 || static_cast<std::size_t>(size) == text.size()) return std::nullopt;
  return fs::path(std::string(text.data(), static_cast<std::size_t>(size)));
}

// The folder `blobs` of the repository in whose `snapshots` the folder is; not through a link.
Descriptor BlobsOfSnapshot(const Descriptor& folder) {
  Descriptor below(::openat(folder.get(), ".", kFolder));
  for (int above = 0; above < kMaxFoldersAbove && below.ok(); ++above) {
    Descriptor parent(::openat(below.get(), "..", kFolder));
    const auto here = IdentityBehind(below), up = IdentityBehind(parent);
    if (!here || !up || here == up) break;
    const Descriptor snapshots(::openat(parent.get(), "snapshots", kFolder | O_NOFOLLOW));
    if (above > 0 && IdentityBehind(snapshots) == here)
      return Descriptor(::openat(parent.get(), "blobs", kFolder | O_NOFOLLOW));
    below = std::move(parent);
  }
  return {};
}

// What a hub cache's link in `folder` stands for; no descriptor where it is no such link.
Descriptor OpenBlob(const Descriptor& folder, const std::string& link) {
  const auto target = TargetOf(folder, link);
  if (!target || !target->has_filename()) return {};
  const Descriptor blobs = BlobsOfSnapshot(folder);
  const Descriptor named(::openat(folder.get(), target->parent_path().c_str(), kFolder));
  const auto identity = IdentityBehind(blobs);
  if (!identity || IdentityBehind(named) != identity) return {};
  return Descriptor(::openat(blobs.get(), target->filename().c_str(), kFile));
}

}  // namespace

Result<int> OpenDescriptorBeneath(const fs::path& folder, const std::string& name) {
  Descriptor at(::open(folder.empty() ? "." : folder.c_str(), kFolder));
  if (!at.ok()) return Fail(ReadErrorOf(folder, "cannot open", errno));
  fs::path so_far = folder;
  const fs::path relative(name);
  for (auto part = relative.begin(); std::next(part) != relative.end(); ++part) {
    so_far /= *part;
    Descriptor next(::openat(at.get(), part->c_str(), kFolder | O_NOFOLLOW));
    const int number = errno;
    if (!next.ok() && IsLinkIn(at, part->string())) return Fail(IsLink(so_far));
    if (!next.ok()) return Fail(ReadErrorOf(so_far, "cannot open", number));
    at = std::move(next);
  }
  const std::string last = relative.filename().string();
  so_far /= last;
  Descriptor file(::openat(at.get(), last.c_str(), kFile));
  if (file.ok()) return file.release();
  const int number = errno;
  if (!IsLinkIn(at, last)) return Fail(ReadErrorOf(so_far, "cannot open", number));
  Descriptor blob = OpenBlob(at, last);
  if (!blob.ok()) return Fail(IsLink(so_far));
  return blob.release();
}

}  // namespace ckpt::formats
