#include "formats/container/folder_removal.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace ckpt::formats {
namespace {

constexpr unsigned kMaxDepth = 64, kPasses = 8;
constexpr std::size_t kEntryHead = 19;  // of struct linux_dirent64: what stands before the name

bool RemoveEntry(int parent, const char* name, unsigned depth, const char* last) noexcept;

bool IsDots(const char* name) noexcept {
  return std::strcmp(name, ".") == 0 || std::strcmp(name, "..") == 0;
}

// Removes what the folder lists but for `last`; true where all of that is gone.
bool RemoveListed(int folder, unsigned depth, const char* last) noexcept {
  std::array<char, 4096> entries;
  bool gone = true;
  while (true) {
    const long got = ::syscall(SYS_getdents64, folder, entries.data(), entries.size());
    if (got <= 0) return gone && got == 0;
    for (long at = 0; at < got;) {
      const char* entry = entries.data() + at;
      std::uint16_t size = 0;
      std::memcpy(&size, entry + kEntryHead - 3, sizeof size);
      const char* name = entry + kEntryHead;
      const bool stays = IsDots(name) || (last != nullptr && std::strcmp(name, last) == 0);
      if (!stays) gone = RemoveEntry(folder, name, depth + 1, nullptr) && gone;
      at += size;
    }
  }
}

bool RemoveEntry(int parent, const char* name, unsigned depth, const char* last) noexcept {
  if (::unlinkat(parent, name, 0) == 0 || errno == ENOENT) return true;
  if (depth > kMaxDepth) return false;
  // More than one pass: a listing that changes under the reader may miss entries.
  for (unsigned pass = 0; pass < kPasses; ++pass) {
    if (::unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT) return true;
    const int folder = ::openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (folder < 0) continue;
    if (RemoveListed(folder, depth, last) && last != nullptr) ::unlinkat(folder, last, 0);
    ::close(folder);
  }
  return false;
}

}  // namespace

bool RemoveTree(const char* path, const char* last) noexcept {
  return RemoveEntry(AT_FDCWD, path, 0, last);
}

}  // namespace ckpt::formats
