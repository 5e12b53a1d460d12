#include "formats/container/file_stamp.h"

#include <sys/stat.h>

#include "formats/remote/address.h"
#include "formats/remote/remote_files.h"

namespace ckpt::formats {

std::string TimeInWords(const timespec& time) {
  std::string fraction = std::to_string(time.tv_nsec);
  constexpr std::size_t kDigits = 9;
  fraction.insert(0, kDigits - fraction.size(), '0');
  return std::to_string(time.tv_sec) + "." + fraction;
}

std::optional<FileStamp> StampOf(const std::string& path) {
  if (IsRemoteName(path)) return RemoteFiles::Instance().StampOf(path);
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) return std::nullopt;
  return FileStamp{path, static_cast<std::uint64_t>(status.st_size), TimeInWords(status.st_mtim)};
}

}  // namespace ckpt::formats
