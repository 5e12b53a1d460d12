// What git shows us of a checkpoint: single files, older ones under another name in a temporary
// folder.
#pragma once

#include <set>

#include "formats/container/files_read.h"

namespace ckpt::cli {

// A file system that holds the given files and nothing else: what is beside a file in the working
// tree (an index, shards, a graph) is not beside its older version, and must not make a difference.
class LoneFiles : public formats::FilesRead {
 public:
  explicit LoneFiles(std::set<std::filesystem::path> paths) : paths_(std::move(paths)) {}

  Result<std::unique_ptr<formats::RandomAccessFile>> Open(
      const std::filesystem::path& path) const override;
  bool Exists(const std::filesystem::path& path) const override;
  bool IsDirectory(const std::filesystem::path& path) const override;
  Result<std::vector<std::string>> List(const std::filesystem::path& folder) const override;
  Result<std::unique_ptr<formats::RandomAccessFile>> OpenBeneath(
      const std::filesystem::path& folder, const std::string& name) const override;

 private:
  bool Has(const std::filesystem::path& path) const;

  std::set<std::filesystem::path> paths_;
};

}  // namespace ckpt::cli
