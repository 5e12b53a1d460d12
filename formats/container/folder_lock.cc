#include "formats/container/folder_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <map>
#include <thread>
#include <utility>

#include "formats/container/system_error.h"

namespace ckpt::formats {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

// 0, or errno's number.
int LockUntil(int descriptor, Clock::time_point end) {
  constexpr std::chrono::milliseconds kPause{5};
  while (::flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) return errno;
    if (Clock::now() >= end) return EWOULDBLOCK;
    std::this_thread::sleep_for(kPause);
  }
  return 0;
}

}  // namespace

Result<FolderLocks> FolderLocks::Take(std::span<const fs::path> folders,
                                      std::chrono::milliseconds patience) {
  FolderLocks locks;
  // By device and inode: two runs that want the same folders take them in the same order.
  std::map<std::pair<dev_t, ino_t>, std::pair<int, fs::path>> found;
  for (const fs::path& named : folders) {
    const fs::path folder = named.empty() ? "." : named;
    const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0 && errno == EACCES) continue;
    if (descriptor < 0) return Fail(SystemErrorOf(folder, "cannot open", errno));
    locks.descriptors_.push_back(descriptor);
    struct stat status {};
    if (::fstat(descriptor, &status) != 0) {
      return Fail(SystemErrorOf(folder, "cannot open", errno));
    }
    found.emplace(std::pair(status.st_dev, status.st_ino), std::pair(descriptor, folder));
  }
  const Clock::time_point end = Clock::now() + patience;
  for (const auto& [identity, folder] : found) {
    if (LockUntil(folder.first, end) != EWOULDBLOCK) continue;
    return Fail(Error{ErrorCode::kIo,
                      "another run is putting files in place there, or holds a lock on the folder"}
                    .In(folder.second.string()));
  }
  return locks;
}

FolderLocks::~FolderLocks() {
  for (const int descriptor : descriptors_) ::close(descriptor);
}

}  // namespace ckpt::formats
