#include "cli/child_walls.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>

namespace ckpt::cli {
namespace {

#if defined(__x86_64__)
constexpr std::uint32_t kMachine = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr std::uint32_t kMachine = AUDIT_ARCH_AARCH64;
#else
constexpr std::uint32_t kMachine = 0;  // unknown: no filter
#endif

constexpr sock_filter Load(std::size_t offset) {
  return {BPF_LD | BPF_W | BPF_ABS, 0, 0, static_cast<std::uint32_t>(offset)};
}
// `yes` more instructions are passed over where the number is `value`.
constexpr sock_filter SkipIf(long value, std::uint8_t yes) {
  return {BPF_JMP | BPF_JEQ | BPF_K, yes, 0, static_cast<std::uint32_t>(value)};
}
constexpr sock_filter Return(std::uint32_t action) { return {BPF_RET | BPF_K, 0, 0, action}; }

constexpr std::uint64_t kWriting = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |
                                   LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR |
                                   LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |
                                   LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |
                                   LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM;

// Landlock's second and third version: moving a file to another folder, truncating one.
constexpr std::uint64_t kRefer = std::uint64_t{1} << 13;
constexpr std::uint64_t kTruncate = std::uint64_t{1} << 14;

bool Allow(int rules, int parent, std::uint64_t access) noexcept {
  landlock_path_beneath_attr below{};
  below.allowed_access = access;
  below.parent_fd = parent;
  return ::syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &below, 0) == 0;
}

}  // namespace

bool RefuseNetwork() noexcept {
  if (kMachine == 0) return false;
  // Calls of another machine, or of x86-64's 32-bit pointers, have other numbers.
  constexpr std::uint32_t kOtherNumbers = 0x40000000;
  std::array<sock_filter, 13> code = {{
      Load(offsetof(seccomp_data, arch)),
      SkipIf(static_cast<long>(kMachine), 1),
      Return(SECCOMP_RET_KILL_PROCESS),
      Load(offsetof(seccomp_data, nr)),
      {BPF_JMP | BPF_JGE | BPF_K, 7, 0, kOtherNumbers},
      SkipIf(SYS_socket, 6),
      SkipIf(SYS_ptrace, 5),
      SkipIf(SYS_process_vm_writev, 4),
      SkipIf(SYS_process_vm_readv, 3),
      SkipIf(SYS_io_uring_setup, 2),
      SkipIf(SYS_pidfd_getfd, 1),
      Return(SECCOMP_RET_ALLOW),
      Return(SECCOMP_RET_ERRNO | EPERM),
  }};
  sock_fprog filter = {static_cast<unsigned short>(code.size()), code.data()};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

bool WriteOnlyBelow(int folder) noexcept {
  const long version =
      ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  if (version < 1) return false;
  landlock_ruleset_attr handled{};
  handled.handled_access_fs =
      kWriting | (version >= 2 ? kRefer : 0) | (version >= 3 ? kTruncate : 0);
  const int rules =
      static_cast<int>(::syscall(SYS_landlock_create_ruleset, &handled, sizeof(handled), 0));
  const int null = ::open("/dev/null", O_PATH | O_CLOEXEC);
  const std::uint64_t of_a_file = LANDLOCK_ACCESS_FS_WRITE_FILE | (version >= 3 ? kTruncate : 0);
  const bool done = rules >= 0 && Allow(rules, folder, handled.handled_access_fs) &&
                    Allow(rules, null, of_a_file) &&
                    ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
                    ::syscall(SYS_landlock_restrict_self, rules, 0) == 0;
  if (rules >= 0) ::close(rules);
  if (null >= 0) ::close(null);
  return done;
}

}  // namespace ckpt::cli
