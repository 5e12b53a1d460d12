// What tells, without reading it, whether a file is still the one that was read.
#pragma once

#include <cstdint>
#include <ctime>
#include <optional>
#include <string>

namespace ckpt::formats {

struct FileStamp {
  std::string path;
  std::uint64_t size = 0;  // bytes
  // Its mtime, see TimeInWords; of a URL the ETag, else Last-Modified, as the server says it.
  std::string changed = {};
  bool operator==(const FileStamp&) const = default;
};

// "1764419000.000012345": seconds and nanoseconds since 1970.
std::string TimeInWords(const timespec& time);

// Of the regular file, or the URL's, that `path` stands for now; nothing where there is none, or a
// server has no word for the file's version. Asks the server.
std::optional<FileStamp> StampOf(const std::string& path);

}  // namespace ckpt::formats
