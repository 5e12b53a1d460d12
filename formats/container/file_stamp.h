// What tells, without reading it, whether a file is still the one that was read.
#pragma once

#include <cstdint>
#include <ctime>
#include <optional>
#include <string>

namespace ckpt::formats {

struct FileStamp {
  std::string path;
  std::uint64_t size = 0;    // bytes
  std::string changed = {};  // of a local file: its mtime, see TimeInWords
  bool operator==(const FileStamp&) const = default;
};

// "1764419000.000012345": seconds and nanoseconds since 1970.
std::string TimeInWords(const timespec& time);

// Of the regular file that `path` stands for now; nothing where there is none. The place at which
// a file that is reached by other means (a URL has an ETag) would be asked for.
std::optional<FileStamp> StampOf(const std::string& path);

}  // namespace ckpt::formats
