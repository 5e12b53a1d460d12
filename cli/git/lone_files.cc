#include "cli/git/lone_files.h"

namespace ckpt::cli {

using formats::FilesRead;
using formats::RandomAccessFile;

bool LoneFiles::Has(const std::filesystem::path& path) const { return paths_.contains(path); }

Result<std::unique_ptr<RandomAccessFile>> LoneFiles::Open(const std::filesystem::path& path) const {
  if (Has(path)) return FilesRead::Open(path);
  return Fail(
      Error{ErrorCode::kNotFound, "is another file, which git does not show"}.In(path.string()));
}

bool LoneFiles::Exists(const std::filesystem::path& path) const {
  return Has(path) && FilesRead::Exists(path);
}

bool LoneFiles::IsDirectory(const std::filesystem::path& path) const {
  return Has(path) && FilesRead::IsDirectory(path);
}

Result<std::vector<std::string>> LoneFiles::List(const std::filesystem::path&) const {
  return std::vector<std::string>();
}

Result<std::unique_ptr<RandomAccessFile>> LoneFiles::OpenBeneath(
    const std::filesystem::path& folder, const std::string& name) const {
  if (Has(folder / name)) return FilesRead::OpenBeneath(folder, name);
  return Fail(Error{ErrorCode::kNotFound, "is another file, which git does not show"}.In(
      (folder / name).string()));
}

}  // namespace ckpt::cli
