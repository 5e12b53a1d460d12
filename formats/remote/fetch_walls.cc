#include "formats/remote/fetch_walls.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "formats/container/forked_child.h"

namespace ckpt::formats {
namespace {

constexpr std::uint64_t kMostData = std::uint64_t{2} << 30;  // bodies of servers without ranges
constexpr std::uint64_t kMostDescriptors = 256;

// Where systems keep what a name is resolved with, certificates, and what these load.
constexpr const char* kSystemFolders[] = {"/etc",
                                          "/usr",
                                          "/lib",
                                          "/lib64",
                                          "/nix/store",
                                          "/var/lib/ca-certificates",
                                          "/run/systemd/resolve",
                                          "/run/nscd",
                                          "/proc/sys",
                                          "/dev/null",
                                          "/dev/urandom",
                                          "/dev/random"};

constexpr std::uint64_t kReadingAFile = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_EXECUTE;
constexpr std::uint64_t kReading = kReadingAFile | LANDLOCK_ACCESS_FS_READ_DIR;
constexpr std::uint64_t kEverything = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1;  // version 1

void Allow(int rules, const char* path) noexcept {
  const int file = ::open(path, O_PATH | O_CLOEXEC);
  if (file < 0) return;
  struct stat status {};
  landlock_path_beneath_attr below{};
  if (::fstat(file, &status) == 0) {
    below.allowed_access = S_ISDIR(status.st_mode) ? kReading : kReadingAFile;
    below.parent_fd = file;
    ::syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &below, 0);
  }
  ::close(file);
}

// A resolver's file is replaced by another one when the network changes: its folder is what stays.
void AllowFolderOf(int rules, const char* path) noexcept {
  char* const real = ::realpath(path, nullptr);
  if (real == nullptr) return;
  const std::string_view text = real;
  const std::size_t slash = text.rfind('/');
  if (slash != std::string_view::npos && slash > 0) {
    real[slash] = '\0';
    Allow(rules, real);
  }
  ::free(real);
}

bool ReadOnly(const std::vector<std::string>& readable) noexcept {
  landlock_ruleset_attr handled{};
  handled.handled_access_fs = kEverything;
  const int rules =
      static_cast<int>(::syscall(SYS_landlock_create_ruleset, &handled, sizeof(handled), 0));
  if (rules < 0) return false;
  for (const char* path : kSystemFolders) Allow(rules, path);
  for (const std::string& path : readable) Allow(rules, path.c_str());
  AllowFolderOf(rules, "/etc/resolv.conf");
  const bool done = ::syscall(SYS_landlock_restrict_self, rules, 0) == 0;
  ::close(rules);
  return done;
}

// What neither fetching nor resolving names has a use for. A list of what is allowed would end with
// the next version of the C library, of OpenSSL or of a name service.
constexpr int kRefused[] = {SCMP_SYS(execve),
                            SCMP_SYS(execveat),
                            SCMP_SYS(ptrace),
                            SCMP_SYS(kill),
                            SCMP_SYS(tkill),
                            SCMP_SYS(pidfd_send_signal),
                            SCMP_SYS(pidfd_open),
                            SCMP_SYS(pidfd_getfd),
                            SCMP_SYS(process_vm_readv),
                            SCMP_SYS(kcmp),
                            SCMP_SYS(process_madvise),
                            SCMP_SYS(process_vm_writev),
                            SCMP_SYS(io_uring_setup),
                            SCMP_SYS(bpf),
                            SCMP_SYS(perf_event_open),
                            SCMP_SYS(userfaultfd),
                            SCMP_SYS(keyctl),
                            SCMP_SYS(add_key),
                            SCMP_SYS(request_key),
                            SCMP_SYS(unshare),
                            SCMP_SYS(setns),
                            SCMP_SYS(mount),
                            SCMP_SYS(umount2),
                            SCMP_SYS(pivot_root),
                            SCMP_SYS(chroot),
                            SCMP_SYS(listen),
                            SCMP_SYS(accept),
                            SCMP_SYS(accept4),
                            SCMP_SYS(truncate),
                            SCMP_SYS(chmod),
                            SCMP_SYS(fchmodat),
                            SCMP_SYS(chown),
                            SCMP_SYS(fchownat),
                            SCMP_SYS(lchown),
                            SCMP_SYS(utimensat),
                            SCMP_SYS(setxattr),
                            SCMP_SYS(lsetxattr),
                            SCMP_SYS(removexattr),
                            SCMP_SYS(lremovexattr)};

bool RefuseSystemCalls() noexcept {
  scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
  if (filter == nullptr) return false;
  constexpr std::uint32_t kRefuse = SCMP_ACT_ERRNO(EPERM);
  for (const int call : kRefused) seccomp_rule_add(filter, kRefuse, call, 0);
  // abort() signals its own thread; nobody else may be signalled.
  const scmp_arg_cmp other = {0, SCMP_CMP_NE, static_cast<scmp_datum_t>(::getpid()), 0};
  seccomp_rule_add_array(filter, kRefuse, SCMP_SYS(tgkill), 1, &other);
  // Left are IPv4, IPv6, AF_UNIX (of the name service) and AF_NETLINK (which addresses there are).
  const auto refuse_socket = [&](scmp_compare compare, int family) {
    const scmp_arg_cmp is = {0, compare, static_cast<scmp_datum_t>(family), 0};
    seccomp_rule_add_array(filter, kRefuse, SCMP_SYS(socket), 1, &is);
  };
  for (int family = AF_UNSPEC; family < AF_NETLINK; ++family) {
    if (family != AF_UNIX && family != AF_INET && family != AF_INET6)
      refuse_socket(SCMP_CMP_EQ, family);
  }
  refuse_socket(SCMP_CMP_GT, AF_NETLINK);
  // Raw packets of the Internet's families; those of AF_NETLINK are its ordinary ones.
  for (const int family : {AF_INET, AF_INET6}) {
    const scmp_arg_cmp raw[] = {{0, SCMP_CMP_EQ, static_cast<scmp_datum_t>(family), 0},
                                {1, SCMP_CMP_MASKED_EQ, 0xf, SOCK_RAW}};
    seccomp_rule_add_array(filter, kRefuse, SCMP_SYS(socket), 2, raw);
  }
  const bool loaded = seccomp_load(filter) == 0;
  seccomp_release(filter);
  return loaded;
}

// AddressSanitizer maps its shadow as data, terabytes of it: nothing could be mapped any more.
constexpr bool DataCanBeLimited() {
#if defined(__SANITIZE_ADDRESS__)
  return false;
#elif defined(__has_feature)
  return !__has_feature(address_sanitizer);
#else
  return true;
#endif
}

}  // namespace

FetchWalls EnterFetchWalls(const std::vector<std::string>& readable) noexcept {
  LowerLimit(RLIMIT_CORE, 0);
  LowerLimit(RLIMIT_FSIZE, 0);
  if (DataCanBeLimited()) LowerLimit(RLIMIT_DATA, kMostData);
  LowerLimit(RLIMIT_NOFILE, kMostDescriptors);
  ::prctl(PR_SET_DUMPABLE, 0);
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return {};
  FetchWalls walls;
  walls.files = ReadOnly(readable);
  walls.system_calls = RefuseSystemCalls();
  return walls;
}

}  // namespace ckpt::formats
