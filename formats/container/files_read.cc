#include "formats/container/files_read.h"

#include <utility>

namespace ckpt::formats {
namespace {

Error Changed(const std::string& path) {
  return Error{ErrorCode::kIo, "was changed or replaced while it was read; run it again"}.In(path);
}

}  // namespace

FilesRead::Seen FilesRead::SeenIn(const struct stat& status) {
  return {IdentityOf(status), status.st_size, status.st_mtim};
}

bool FilesRead::Same(const Seen& a, const Seen& b) {
  return a.identity == b.identity && a.size == b.size && a.changed.tv_sec == b.changed.tv_sec &&
         a.changed.tv_nsec == b.changed.tv_nsec;
}

Status FilesRead::Remember(const std::filesystem::path& path, const RandomAccessFile& file) const {
  struct stat status {};
  if (file.descriptor() < 0 || ::fstat(file.descriptor(), &status) != 0) return {};
  const Seen now = SeenIn(status);
  const std::lock_guard lock(mutex_);
  const auto [entry, added] = seen_.emplace(path.string(), now);
  if (!added && !Same(entry->second, now)) return Fail(Changed(path.string()));
  return {};
}

Result<std::unique_ptr<RandomAccessFile>> FilesRead::Open(const std::filesystem::path& path) const {
  CKPT_ASSIGN_OR_RETURN(auto file, SystemFiles().Open(path));
  CKPT_RETURN_IF_ERROR(Remember(path, *file));
  return file;
}

Result<std::unique_ptr<RandomAccessFile>> FilesRead::OpenBeneath(
    const std::filesystem::path& folder, const std::string& name) const {
  CKPT_ASSIGN_OR_RETURN(auto file, SystemFiles().OpenBeneath(folder, name));
  CKPT_RETURN_IF_ERROR(Remember(folder / name, *file));
  return file;
}

bool FilesRead::Exists(const std::filesystem::path& path) const {
  return SystemFiles().Exists(path);
}
bool FilesRead::IsDirectory(const std::filesystem::path& path) const {
  return SystemFiles().IsDirectory(path);
}
Result<std::vector<std::string>> FilesRead::List(const std::filesystem::path& folder) const {
  return SystemFiles().List(folder);
}

void FilesRead::Note(const std::filesystem::path& path) const {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) return;
  const std::lock_guard lock(mutex_);
  seen_.emplace(path.string(), SeenIn(status));
}

Status FilesRead::CheckUnchanged() const {
  const std::lock_guard lock(mutex_);
  for (const auto& [path, before] : seen_) {
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0 || !Same(before, SeenIn(status))) {
      return Fail(Changed(path));
    }
  }
  return {};
}

void FilesRead::AddTo(ProtectedFiles& files) const {
  const std::lock_guard lock(mutex_);
  for (const auto& [path, seen] : seen_) files.Add(seen.identity, "read by this run");
}

}  // namespace ckpt::formats
