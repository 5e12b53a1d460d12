// Which file a path stands for, whatever it is called.
#pragma once

#include <sys/stat.h>

#include <compare>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "ckpt/result.h"

namespace ckpt::formats {

// A device and an inode; of a file that is not there yet, its folder's and its name in it.
struct FileIdentity {
  std::uint64_t device = 0, inode = 0;
  std::string name = {};
  auto operator<=>(const FileIdentity&) const = default;
};

FileIdentity IdentityOf(const struct stat& status);
// Of what stands at the path itself, a link too; device 0 where nothing does.
FileIdentity Standing(const std::filesystem::path& path);
// Behind links. Nothing for what is no regular file, and where there is no such folder.
std::optional<FileIdentity> IdentityOf(const std::filesystem::path& path);

// The path at the end of a chain of links; `path` itself where it is none. kIo for a chain without
// an end.
Result<std::filesystem::path> BehindLinks(std::filesystem::path path);

// Files that must not be written over or removed, with what each is to the user.
class ProtectedFiles {
 public:
  void Add(const std::filesystem::path& path, std::string what);
  void Add(FileIdentity identity, std::string what);
  // kInvalidArgument, naming both, where `path` is one of them.
  Status Check(const std::filesystem::path& path) const;
  bool empty() const noexcept { return files_.empty(); }

 private:
  struct Entry {
    FileIdentity identity;
    std::string what;
  };
  std::vector<Entry> files_;
};

}  // namespace ckpt::formats
