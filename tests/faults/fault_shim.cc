// Preloaded into the program under test: lets one call into the C library fail, or ends the program
// at it. FAULT_CALL names a family of calls, FAULT_AT counts from 1, FAULT_KIND is enospc, eio,
// short, kill or wait: until who opens the FIFO FAULT_GATE for writing closes it. The number of
// calls of each family is appended to FAULT_COUNT as "family number".
//
// Only calls that create, write, flush, move or cut are touched, and opens below FAULT_FOLDER, so
// that the loader and the C library's own files stay out of it.
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/types.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace {

enum Family { kOpen, kWrite, kSync, kRename, kTruncate, kMkdir, kFamilies };
constexpr const char* kNames[kFamilies] = {"open", "write", "fsync", "rename", "truncate", "mkdir"};
std::atomic<unsigned long> counts[kFamilies];

// The child of a fork is another program with its own rules.
const pid_t main_process = ::getpid();

const char* Setting(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

template <typename Function>
Function Real(const char* name) {
  return reinterpret_cast<Function>(::dlsym(RTLD_NEXT, name));
}

bool IsAbout(const char* path) {
  const std::string_view folder = Setting("FAULT_FOLDER");
  return path != nullptr && (path[0] != '/' || std::string_view(path).starts_with(folder));
}

void WaitAtGate() {
  const int gate = Real<int (*)(const char*, int, ...)>("open")(Setting("FAULT_GATE"), O_RDONLY);
  char none = 0;
  while (::read(gate, &none, 1) > 0) {
  }
  ::close(gate);
}

// Whether this call fails, with errno set; `shortened` is set where it does part of its work.
bool Fails(Family family, bool* shortened = nullptr) {
  if (::getpid() != main_process) return false;
  const unsigned long number = ++counts[family];
  if (std::strcmp(Setting("FAULT_CALL"), kNames[family]) != 0) return false;
  if (number != std::strtoul(Setting("FAULT_AT"), nullptr, 10)) return false;
  const std::string_view kind = Setting("FAULT_KIND");
  if (kind == "kill") ::kill(::getpid(), SIGKILL);
  if (kind == "wait") {
    WaitAtGate();
    return false;
  }
  if (kind == "short" && shortened != nullptr) {
    *shortened = true;
    return false;
  }
  errno = kind == "eio" ? EIO : ENOSPC;
  return true;
}

struct Report {
  ~Report() {
    const char* path = Setting("FAULT_COUNT");
    if (*path == '\0' || ::getpid() != main_process) return;
    std::FILE* file = std::fopen(path, "w");
    if (file == nullptr) return;
    for (int i = 0; i < kFamilies; ++i) std::fprintf(file, "%s %lu\n", kNames[i], counts[i].load());
    std::fclose(file);
  }
} report;

int ModeOf(int flags, va_list arguments) {
  return (flags & (O_CREAT | __O_TMPFILE)) != 0 ? va_arg(arguments, int) : 0;
}

}  // namespace

extern "C" {

#define CKPT_OPEN(name)                                                    \
  int name(const char* path, int flags, ...) {                             \
    va_list arguments;                                                     \
    va_start(arguments, flags);                                            \
    const int mode = ModeOf(flags, arguments);                             \
    va_end(arguments);                                                     \
    if (IsAbout(path) && Fails(kOpen)) return -1;                          \
    return Real<int (*)(const char*, int, ...)>(#name)(path, flags, mode); \
  }
CKPT_OPEN(open)
CKPT_OPEN(open64)

#define CKPT_OPENAT(name)                                                               \
  int name(int folder, const char* path, int flags, ...) {                              \
    va_list arguments;                                                                  \
    va_start(arguments, flags);                                                         \
    const int mode = ModeOf(flags, arguments);                                          \
    va_end(arguments);                                                                  \
    if (IsAbout(path) && Fails(kOpen)) return -1;                                       \
    return Real<int (*)(int, const char*, int, ...)>(#name)(folder, path, flags, mode); \
  }
CKPT_OPENAT(openat)
CKPT_OPENAT(openat64)

ssize_t write(int file, const void* bytes, size_t size) {
  bool shortened = false;
  // What the program says is not what it writes.
  if (file > STDERR_FILENO && Fails(kWrite, &shortened)) return -1;
  return Real<ssize_t (*)(int, const void*, size_t)>("write")(
      file, bytes, shortened && size > 1 ? size / 2 : size);
}

#define CKPT_PWRITE(name)                                                \
  ssize_t name(int file, const void* bytes, size_t size, off_t offset) { \
    bool shortened = false;                                              \
    if (Fails(kWrite, &shortened)) return -1;                            \
    return Real<ssize_t (*)(int, const void*, size_t, off_t)>(#name)(    \
        file, bytes, shortened && size > 1 ? size / 2 : size, offset);   \
  }
CKPT_PWRITE(pwrite)
CKPT_PWRITE(pwrite64)

int fsync(int file) { return Fails(kSync) ? -1 : Real<int (*)(int)>("fsync")(file); }

int rename(const char* from, const char* to) {
  return Fails(kRename) ? -1 : Real<int (*)(const char*, const char*)>("rename")(from, to);
}
int renameat2(int from_folder, const char* from, int to_folder, const char* to, unsigned flags) {
  if (Fails(kRename)) return -1;
  return Real<int (*)(int, const char*, int, const char*, unsigned)>("renameat2")(
      from_folder, from, to_folder, to, flags);
}

int ftruncate(int file, off_t size) {
  return Fails(kTruncate) ? -1 : Real<int (*)(int, off_t)>("ftruncate")(file, size);
}
int ftruncate64(int file, off_t size) {
  return Fails(kTruncate) ? -1 : Real<int (*)(int, off_t)>("ftruncate64")(file, size);
}

int mkdir(const char* path, mode_t mode) {
  return Fails(kMkdir) ? -1 : Real<int (*)(const char*, mode_t)>("mkdir")(path, mode);
}

}  // extern "C"
