#include "formats/container/files_read.h"

#include <algorithm>
#include <utility>

#include "formats/remote/address.h"
#include "formats/remote/remote_files.h"

namespace ckpt::formats {
namespace {

Error Changed(const std::string& path) {
  return Error{ErrorCode::kIo, "was changed or replaced while it was read; run it again"}.In(path);
}

bool IsRemote(const std::filesystem::path& path) { return IsRemoteName(path.native()); }

// Of a URL the version that was opened first is the only one that is read.
const Files& FilesOf(const std::filesystem::path& path) {
  return IsRemote(path) ? RemoteFiles::Instance() : SystemFiles();
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
  if (whole_ != nullptr) CKPT_RETURN_IF_ERROR(whole_->Remember(path, file));
  if (IsRemote(path)) {
    RememberFetched(path.string(), file);
    return {};
  }
  struct stat status {};
  if (file.descriptor() < 0 || ::fstat(file.descriptor(), &status) != 0) return {};
  const Seen now = SeenIn(status);
  const std::lock_guard lock(mutex_);
  const auto [entry, added] = seen_.emplace(path.string(), now);
  if (!added && !Same(entry->second, now)) return Fail(Changed(path.string()));
  return {};
}

// All reads of it are of one version: the first one's.
void FilesRead::RememberFetched(const std::string& path, const RandomAccessFile& file) const {
  const auto stamp = RemoteFiles::Instance().StampOf(path);
  const std::lock_guard lock(mutex_);
  fetched_.emplace(path, stamp ? *stamp : FileStamp{path, file.size()});
}

Result<std::unique_ptr<RandomAccessFile>> FilesRead::Open(const std::filesystem::path& path) const {
  CKPT_ASSIGN_OR_RETURN(auto file, FilesOf(path).Open(path));
  CKPT_RETURN_IF_ERROR(Remember(path, *file));
  return file;
}

Result<std::unique_ptr<RandomAccessFile>> FilesRead::OpenBeneath(
    const std::filesystem::path& folder, const std::string& name) const {
  CKPT_ASSIGN_OR_RETURN(auto file, FilesOf(folder).OpenBeneath(folder, name));
  CKPT_RETURN_IF_ERROR(Remember(folder / name, *file));
  return file;
}

bool FilesRead::Exists(const std::filesystem::path& path) const {
  return FilesOf(path).Exists(path);
}
bool FilesRead::IsDirectory(const std::filesystem::path& path) const {
  return FilesOf(path).IsDirectory(path);
}
Result<std::vector<std::string>> FilesRead::List(const std::filesystem::path& folder) const {
  return FilesOf(folder).List(folder);
}

void FilesRead::Note(const std::filesystem::path& path) const {
  if (whole_ != nullptr) whole_->Note(path);
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

std::vector<FileStamp> FilesRead::Stamps() const {
  const std::lock_guard lock(mutex_);
  std::vector<FileStamp> stamps;
  for (const auto& [path, seen] : seen_) {
    stamps.push_back({path, static_cast<std::uint64_t>(seen.size), TimeInWords(seen.changed)});
  }
  for (const auto& [path, stamp] : fetched_) stamps.push_back(stamp);
  std::sort(stamps.begin(), stamps.end(),
            [](const FileStamp& a, const FileStamp& b) { return a.path < b.path; });
  return stamps;
}

}  // namespace ckpt::formats
