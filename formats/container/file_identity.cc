#include "formats/container/file_identity.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "formats/container/system_error.h"

namespace ckpt::formats {

namespace fs = std::filesystem;

FileIdentity IdentityOf(const struct stat& status) { return {status.st_dev, status.st_ino}; }

FileIdentity Standing(const fs::path& path) {
  struct stat status {};
  return ::lstat(path.c_str(), &status) == 0 ? IdentityOf(status) : FileIdentity{};
}

std::optional<FileIdentity> IdentityOf(const fs::path& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) == 0) {
    if (!S_ISREG(status.st_mode)) return std::nullopt;
    return IdentityOf(status);
  }
  const auto end = BehindLinks(path);
  if (!end) return std::nullopt;
  const fs::path folder = end->parent_path().empty() ? "." : end->parent_path();
  if (::stat(folder.c_str(), &status) != 0) return std::nullopt;
  return FileIdentity{status.st_dev, status.st_ino, end->filename().string()};
}

Result<fs::path> BehindLinks(fs::path path) {
  constexpr int kMaxLinks = 40;
  for (int i = 0; i < kMaxLinks; ++i) {
    std::error_code failed;
    if (!fs::is_symlink(fs::symlink_status(path, failed))) return path;
    const fs::path next = fs::read_symlink(path, failed);
    if (failed) return Fail(SystemErrorOf(path, "cannot read the link", failed.value()));
    path = next.is_absolute() ? next : path.parent_path() / next;
  }
  return Fail(SystemErrorOf(path, "cannot follow the link", ELOOP));
}

void ProtectedFiles::Add(const fs::path& path, std::string what) {
  if (auto identity = IdentityOf(path)) Add(*std::move(identity), std::move(what));
}

void ProtectedFiles::Add(FileIdentity identity, std::string what) {
  files_.push_back({std::move(identity), std::move(what)});
}

Status ProtectedFiles::Check(const fs::path& path) const {
  const auto identity = IdentityOf(path);
  if (!identity) return {};
  const auto found = std::find_if(files_.begin(), files_.end(),
                                  [&](const Entry& entry) { return entry.identity == *identity; });
  if (found == files_.end()) return {};
  return Fail(
      Error{ErrorCode::kInvalidArgument, "is " + found->what + ", and is not written over"}.In(
          path.string()));
}

}  // namespace ckpt::formats
