// The file system as it will be when an output is in place: its files are read from where they lie
// until then, under the names that they will have.
#pragma once

#include <filesystem>
#include <map>
#include <set>

#include "formats/container/file.h"

namespace ckpt::formats {

class StagedFiles : public Files {
 public:
  void AddFile(const std::filesystem::path& target, std::filesystem::path temporary);
  // All below `target` is read below `temporary`, and nothing else is there.
  void AddFolder(const std::filesystem::path& target, std::filesystem::path temporary);
  void Remove(const std::filesystem::path& target);

  Result<std::unique_ptr<RandomAccessFile>> Open(const std::filesystem::path& path) const override;
  bool Exists(const std::filesystem::path& path) const override;
  bool IsDirectory(const std::filesystem::path& path) const override;
  Result<std::vector<std::string>> List(const std::filesystem::path& folder) const override;
  Result<std::unique_ptr<RandomAccessFile>> OpenBeneath(const std::filesystem::path& folder,
                                                        const std::string& name) const override;

 private:
  // Where `path` lies, if it is part of the output.
  std::optional<std::filesystem::path> Staged(const std::filesystem::path& path) const;

  std::map<std::filesystem::path, std::filesystem::path> files_, folders_;  // absolute targets
  std::set<std::filesystem::path> removed_;
};

}  // namespace ckpt::formats
