// The file system, and the files behind URLs, with a list of what was read of it: which files a run
// must not write over, and whether they stayed what they were.
#pragma once

#include <sys/stat.h>

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "formats/container/file.h"
#include "formats/container/file_identity.h"
#include "formats/container/file_stamp.h"

namespace ckpt::formats {

// Safe for use from several threads.
class FilesRead : public Files {
 public:
  FilesRead() = default;
  // What one part of a run reads; `whole` knows it, too.
  explicit FilesRead(std::shared_ptr<const FilesRead> whole) : whole_(std::move(whole)) {}

  // kIo where the path stands for another file than when it was opened before, or for a changed
  // one.
  Result<std::unique_ptr<RandomAccessFile>> Open(const std::filesystem::path& path) const override;
  bool Exists(const std::filesystem::path& path) const override;
  bool IsDirectory(const std::filesystem::path& path) const override;
  Result<std::vector<std::string>> List(const std::filesystem::path& folder) const override;
  Result<std::unique_ptr<RandomAccessFile>> OpenBeneath(const std::filesystem::path& folder,
                                                        const std::string& name) const override;
  // A file that is read by other means.
  void Note(const std::filesystem::path& path) const;

  // kIo, naming the file, where one of them is another now, or was changed.
  Status CheckUnchanged() const;
  void AddTo(ProtectedFiles& files) const;
  // Each file as it was when it was opened, sorted by path. Of a URL for whose version the server
  // has no word `changed` is empty.
  std::vector<FileStamp> Stamps() const;

 private:
  struct Seen {
    FileIdentity identity;
    std::int64_t size = 0;
    timespec changed = {};
  };
  static Seen SeenIn(const struct stat& status);
  static bool Same(const Seen& a, const Seen& b);
  void RememberFetched(const std::string& path, const RandomAccessFile& file) const;
  Status Remember(const std::filesystem::path& path, const RandomAccessFile& file) const;

  std::shared_ptr<const FilesRead> whole_;  // or null
  mutable std::mutex mutex_;
  mutable std::map<std::string, Seen> seen_;          // by path
  mutable std::map<std::string, FileStamp> fetched_;  // URLs, by path
};

}  // namespace ckpt::formats
