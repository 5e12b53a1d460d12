#include "formats/container/staged_files.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <utility>

#include "formats/container/read_failures.h"
#include "formats/container/staging_folder.h"
#include "formats/container/system_error.h"

namespace ckpt::formats {
namespace {

namespace fs = std::filesystem;

fs::path Key(const fs::path& path) {
  std::error_code failed;
  fs::path absolute = fs::absolute(path, failed);
  absolute = (failed ? path : absolute).lexically_normal();
  return absolute.has_filename() ? absolute : absolute.parent_path();  // without a last slash
}

// `path` relative to `folder` where it is the folder or below it.
std::optional<fs::path> Below(const fs::path& folder, const fs::path& path) {
  const auto [in_folder, in_path] =
      std::mismatch(folder.begin(), folder.end(), path.begin(), path.end());
  if (in_folder != folder.end()) return std::nullopt;
  fs::path rest;
  for (auto part = in_path; part != path.end(); ++part) rest /= *part;
  return rest;
}

}  // namespace

void StagedFiles::AddFile(const fs::path& target, fs::path temporary) {
  files_.insert_or_assign(Key(target), std::move(temporary));
}

void StagedFiles::AddFolder(const fs::path& target, fs::path temporary) {
  folders_.insert_or_assign(Key(target), std::move(temporary));
}

void StagedFiles::Remove(const fs::path& target) { removed_.insert(Key(target)); }

std::optional<fs::path> StagedFiles::Staged(const fs::path& path) const {
  const fs::path key = Key(path);
  if (const auto found = files_.find(key); found != files_.end()) return found->second;
  for (const auto& [target, temporary] : folders_) {
    if (const auto rest = Below(target, key)) return rest->empty() ? temporary : temporary / *rest;
  }
  return std::nullopt;
}

Result<std::unique_ptr<RandomAccessFile>> StagedFiles::Open(const fs::path& path) const {
  const auto staged = Staged(path);
  if (!staged && !removed_.contains(Key(path))) return SystemFiles().Open(path);
  const int file =
      staged ? ::open(staged->c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW) : -1;
  if (file >= 0) return WrapDescriptor(path.string(), file);
  Error error = SystemErrorOf(path, "cannot open", staged ? errno : ENOENT);
  if (!staged || errno == ENOENT || errno == ENOTDIR) error.code = ErrorCode::kNotFound;
  ReadFailures::Note(error);
  return Fail(std::move(error));
}

bool StagedFiles::Exists(const fs::path& path) const {
  const auto staged = Staged(path);
  if (!staged && removed_.contains(Key(path))) return false;
  return SystemFiles().Exists(staged ? *staged : path);
}

bool StagedFiles::IsDirectory(const fs::path& path) const {
  const auto staged = Staged(path);
  return SystemFiles().IsDirectory(staged ? *staged : path);
}

Result<std::vector<std::string>> StagedFiles::List(const fs::path& folder) const {
  if (const auto staged = Staged(folder)) return SystemFiles().List(*staged);
  CKPT_ASSIGN_OR_RETURN(auto names, SystemFiles().List(folder));
  const fs::path key = Key(folder);
  std::erase_if(names, [&](const std::string& name) {
    return IsStagingName(name) || removed_.contains(key / name);
  });
  for (const auto* targets : {&files_, &folders_}) {
    for (const auto& [target, temporary] : *targets) {
      if (target.parent_path() == key) names.push_back(target.filename().string());
    }
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

Result<std::unique_ptr<RandomAccessFile>> StagedFiles::OpenBeneath(const fs::path& folder,
                                                                   const std::string& name) const {
  CKPT_RETURN_IF_ERROR(CheckPlainRelative(folder, name));
  if (Staged(folder / name) || removed_.contains(Key(folder / name))) return Open(folder / name);
  return SystemFiles().OpenBeneath(folder, name);
}

}  // namespace ckpt::formats
