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

constexpr unsigned kMaxDepth = 64, kMaxStuck = 8;
constexpr std::size_t kEntryHead = 19;  // of struct linux_dirent64: what stands before the name
constexpr std::size_t kNameBytes = 256;

bool IsDots(const char* name) noexcept {
  return std::strcmp(name, ".") == 0 || std::strcmp(name, "..") == 0;
}

// What one look into a folder did.
struct Cleared {
  bool removed = false;               // something
  bool left = false;                  // something but the entry that goes last
  std::array<char, kNameBytes> full;  // a folder that is not empty; "" where there is none
};

// Removes the files and the empty folders that the folder lists, but for `last`.
Cleared Clear(int folder, const char* last) noexcept {
  Cleared cleared;
  cleared.full[0] = '\0';
  std::array<char, 4096> entries;
  while (true) {
    const long got = ::syscall(SYS_getdents64, folder, entries.data(), entries.size());
    if (got < 0) cleared.left = true;
    if (got <= 0) return cleared;
    for (long at = 0; at < got;) {
      const char* entry = entries.data() + at;
      std::uint16_t size = 0;
      std::memcpy(&size, entry + kEntryHead - 3, sizeof size);
      at += size;
      const char* name = entry + kEntryHead;
      if (IsDots(name) || (last != nullptr && std::strcmp(name, last) == 0)) continue;
      if (::unlinkat(folder, name, 0) == 0 || ::unlinkat(folder, name, AT_REMOVEDIR) == 0) {
        cleared.removed = true;
        continue;
      }
      if (errno == ENOENT) continue;
      cleared.left = true;
      const bool full = (errno == ENOTEMPTY || errno == EEXIST) && std::strlen(name) < kNameBytes;
      if (full) std::strcpy(cleared.full.data(), name);
    }
  }
}

// From the folder down into one that is not empty, and so on; true where something was removed.
// Takes ownership of `folder`; no more than two descriptors are open at a time.
bool ClearDownwards(int folder, const char* last) noexcept {
  bool removed = false;
  for (unsigned depth = 0; folder >= 0 && depth <= kMaxDepth; ++depth) {
    const Cleared cleared = Clear(folder, depth == 0 ? last : nullptr);
    removed = removed || cleared.removed;
    if (depth == 0 && last != nullptr && !cleared.left && ::unlinkat(folder, last, 0) == 0) {
      removed = true;
    }
    if (cleared.full[0] == '\0') break;
    const int next =
        ::openat(folder, cleared.full.data(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    ::close(folder);
    folder = next;
  }
  if (folder >= 0) ::close(folder);
  return removed;
}

}  // namespace

bool RemoveTree(const char* path, const char* last) noexcept {
  if (::unlink(path) == 0) return true;
  // As often as something goes, and some more: a listing that changes under the reader may miss
  // entries.
  for (unsigned stuck = 0; stuck < kMaxStuck;) {
    if (::rmdir(path) == 0 || errno == ENOENT) return true;
    const int folder = ::open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (!ClearDownwards(folder, last)) ++stuck;
  }
  return false;
}

}  // namespace ckpt::formats
