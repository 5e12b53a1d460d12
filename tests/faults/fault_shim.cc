// Preloaded into the program under test: lets calls into the C library fail, or ends the program
// at one. FAULT_CALL names a family of calls, FAULT_AT counts from 1, FAULT_KIND is the error
// (enospc, eio, eagain, enomem, enosys), short, kill or wait: until who opens the FIFO FAULT_GATE
// for writing closes it. With FAULT_LASTING every later call of the family fails, too. The number
// of calls of each family is written to FAULT_COUNT as "family number".
//
// FAULT_FILES and FAULT_SPACE are limits from when the loader has done its work: of descriptors,
// and of bytes of address space beyond what is in use then.
//
// Only calls that create, write, flush, move, cut, read or allocate are touched, and opens below
// FAULT_FOLDER, so that the loader and the C library's own files stay out of it. A child that the
// program forks takes part in reads and allocations only. Opening /dev/urandom is a call of the
// family random.
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string_view>

extern "C" {
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
}

namespace {

enum Family {
  kOpen,
  kWrite,
  kSync,
  kRename,
  kTruncate,
  kMkdir,
  kRead,
  kThread,
  kFork,
  kRandom,
  kMemory,
  kFamilies
};
constexpr const char* kNames[kFamilies] = {"open", "write",  "fsync", "rename", "truncate", "mkdir",
                                           "read", "thread", "fork",  "random", "memory"};
struct ErrorName {
  std::string_view name;
  int number;
};
constexpr ErrorName kErrors[] = {
    {"enospc", ENOSPC}, {"eio", EIO}, {"eagain", EAGAIN}, {"enomem", ENOMEM}, {"enosys", ENOSYS}};

using Counts = std::array<std::atomic<unsigned long>, kFamilies>;

// What is asked for. The counts are shared with the children; none before Begin().
struct Plan {
  pid_t main_process = 0;
  Counts* counts = nullptr;
  std::string_view call, kind;
  unsigned long at = 0;
  bool lasting = false;
} plan;

const char* Setting(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

template <typename Function>
Function Real(const char* name) {
  return reinterpret_cast<Function>(::dlsym(RTLD_NEXT, name));
}

unsigned long BytesInUse() {
  unsigned long pages = 0;
  std::FILE* statm = std::fopen("/proc/self/statm", "r");
  if (statm == nullptr || std::fscanf(statm, "%lu", &pages) != 1) std::abort();
  std::fclose(statm);
  return pages * static_cast<unsigned long>(::sysconf(_SC_PAGESIZE));
}

void Limit(__rlimit_resource resource, unsigned long value) {
  const rlimit limit = {value, value};
  if (::setrlimit(resource, &limit) != 0) std::abort();
}

// When the loader has done its work, before anything of the program itself.
void Begin() {
  void* memory =
      ::mmap(nullptr, sizeof(Counts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) std::abort();
  plan = {::getpid(),
          nullptr,
          Setting("FAULT_CALL"),
          Setting("FAULT_KIND"),
          std::strtoul(Setting("FAULT_AT"), nullptr, 10),
          *Setting("FAULT_LASTING") != '\0'};
  const char* files = Setting("FAULT_FILES");
  if (*files != '\0') Limit(RLIMIT_NOFILE, std::strtoul(files, nullptr, 10));
  const char* space = Setting("FAULT_SPACE");
  if (*space != '\0') Limit(RLIMIT_AS, BytesInUse() + std::strtoul(space, nullptr, 10));
  plan.counts = new (memory) Counts{};
}

Family FamilyOfOpen(const char* path) {
  return path != nullptr && std::strcmp(path, "/dev/urandom") == 0 ? kRandom : kOpen;
}

bool IsAbout(const char* path) {
  const std::string_view folder = Setting("FAULT_FOLDER");
  if (FamilyOfOpen(path) == kRandom) return true;
  return path != nullptr && (path[0] != '/' || std::string_view(path).starts_with(folder));
}

void WaitAtGate() {
  const int gate = Real<int (*)(const char*, int, ...)>("open")(Setting("FAULT_GATE"), O_RDONLY);
  char none = 0;
  const auto real_read = Real<ssize_t (*)(int, void*, size_t)>("read");
  while (real_read(gate, &none, 1) > 0) {
  }
  ::close(gate);
}

// The error of a call that fails, 0 of one that does not; `shortened` is set where it does part of
// its work.
int FaultOf(Family family, bool* shortened = nullptr) {
  if (plan.counts == nullptr) return 0;
  const bool for_children = family == kRead || family == kMemory;
  if (!for_children && ::getpid() != plan.main_process) return 0;
  const unsigned long number = ++(*plan.counts)[family];
  if (plan.call != kNames[family]) return 0;
  if (plan.lasting ? number < plan.at : number != plan.at) return 0;
  if (plan.kind == "kill") ::kill(::getpid(), SIGKILL);
  if (plan.kind == "wait") {
    WaitAtGate();
    return 0;
  }
  if (plan.kind == "short" && shortened != nullptr) {
    *shortened = true;
    return 0;
  }
  for (const ErrorName& error : kErrors) {
    if (error.name == plan.kind) return error.number;
  }
  return ENOSPC;
}

bool Fails(Family family, bool* shortened = nullptr) {
  const int error = FaultOf(family, shortened);
  if (error != 0) errno = error;
  return error != 0;
}

struct Report {
  ~Report() {
    const char* path = Setting("FAULT_COUNT");
    if (*path == '\0' || ::getpid() != plan.main_process) return;
    std::FILE* file = std::fopen(path, "w");
    if (file == nullptr) return;
    for (int i = 0; i < kFamilies; ++i)
      std::fprintf(file, "%s %lu\n", kNames[i], (*plan.counts)[static_cast<std::size_t>(i)].load());
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
    if (IsAbout(path) && Fails(FamilyOfOpen(path))) return -1;             \
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
    if (IsAbout(path) && Fails(FamilyOfOpen(path))) return -1;                          \
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

ssize_t read(int file, void* bytes, size_t size) {
  return Fails(kRead) ? -1 : Real<ssize_t (*)(int, void*, size_t)>("read")(file, bytes, size);
}

#define CKPT_PREAD(name)                                               \
  ssize_t name(int file, void* bytes, size_t size, off_t offset) {     \
    bool shortened = false;                                            \
    if (Fails(kRead, &shortened)) return -1;                           \
    return Real<ssize_t (*)(int, void*, size_t, off_t)>(#name)(        \
        file, bytes, shortened && size > 1 ? size / 2 : size, offset); \
  }
CKPT_PREAD(pread)
CKPT_PREAD(pread64)

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

int __libc_start_main(int (*main_function)(int, char**, char**), int count, char** arguments,
                      void (*initialise)(), void (*finish)(), void (*loader)(), void* stack) {
  Begin();
  using Start =
      int (*)(int (*)(int, char**, char**), int, char**, void (*)(), void (*)(), void (*)(), void*);
  return Real<Start>("__libc_start_main")(main_function, count, arguments, initialise, finish,
                                          loader, stack);
}

pid_t fork() { return Fails(kFork) ? -1 : Real<pid_t (*)()>("fork")(); }

int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*run)(void*),
                   void* argument) {
  using Create = int (*)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
  const int error = FaultOf(kThread);
  return error != 0 ? error : Real<Create>("pthread_create")(thread, attributes, run, argument);
}

ssize_t getrandom(void* bytes, size_t size, unsigned flags) {
  if (Fails(kRandom)) return -1;
  return Real<ssize_t (*)(void*, size_t, unsigned)>("getrandom")(bytes, size, flags);
}

void* malloc(size_t size) { return Fails(kMemory) ? nullptr : __libc_malloc(size); }
void* calloc(size_t count, size_t size) {
  return Fails(kMemory) ? nullptr : __libc_calloc(count, size);
}
void* realloc(void* old, size_t size) {
  return Fails(kMemory) ? nullptr : __libc_realloc(old, size);
}

}  // extern "C"
