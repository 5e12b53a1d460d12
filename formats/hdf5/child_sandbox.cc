#include "formats/hdf5/child_sandbox.h"

#include <fcntl.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <initializer_list>

#include "formats/container/forked_child.h"

namespace ckpt::formats {
namespace {

constexpr int kStandardDescriptors = 3;

// What a terminal or a supervisor sends to the whole group is the parent's to answer.
void LeaveGroupSignalsToParent() noexcept {
  DefaultSignals();
  for (const int number : {SIGINT, SIGQUIT, SIGTERM, SIGHUP}) ::signal(number, SIG_IGN);
}

void KeepOnly(int socket, int descriptor) noexcept {
  const int null = ::open("/dev/null", O_RDWR);
  for (int i = 0; i < kStandardDescriptors; ++i) {
    if (i == socket || i == descriptor || i == null) continue;
    if (null >= 0) {
      ::dup2(null, i);
    } else {
      ::close(i);
    }
  }
  unsigned next = kStandardDescriptors;
  for (const int kept : {std::min(socket, descriptor), std::max(socket, descriptor)}) {
    if (kept < kStandardDescriptors) continue;
    CloseDescriptors(next, static_cast<unsigned>(kept) - 1);
    next = static_cast<unsigned>(kept) + 1;
  }
  CloseDescriptors(next, ~0U);
}

// Bytes of address space in use; 0 where that cannot be known.
std::uint64_t AddressSpace() noexcept {
  std::FILE* statm = std::fopen("/proc/self/statm", "re");
  if (statm == nullptr) return 0;
  unsigned long long pages = 0;
  if (std::fscanf(statm, "%llu", &pages) != 1) pages = 0;
  std::fclose(statm);
  return pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

void LimitResources(std::uint64_t memory_bytes) noexcept {
  LowerLimit(RLIMIT_AS, AddressSpace() + memory_bytes);
  LowerLimit(RLIMIT_CORE, 0);
  LowerLimit(RLIMIT_FSIZE, 0);
  LowerLimit(RLIMIT_NPROC, 0);
  LowerLimit(RLIMIT_NOFILE, 0);
}

// An allow-list: everything else fails with EPERM, so that a C library that asks for something new
// goes on without it. False where the kernel takes no filter.
bool FilterSystemCalls() noexcept {
  scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
  if (filter == nullptr) return false;
  for (const int call : {SCMP_SYS(read),           SCMP_SYS(pread64),       SCMP_SYS(recvfrom),
                         SCMP_SYS(sendto),         SCMP_SYS(close),         SCMP_SYS(brk),
                         SCMP_SYS(mmap),           SCMP_SYS(munmap),        SCMP_SYS(mremap),
                         SCMP_SYS(mprotect),       SCMP_SYS(madvise),       SCMP_SYS(futex),
                         SCMP_SYS(setitimer),      SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday),
                         SCMP_SYS(getpid),         SCMP_SYS(gettid),        SCMP_SYS(rt_sigaction),
                         SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn),  SCMP_SYS(exit),
                         SCMP_SYS(exit_group)}) {
    seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 0);
  }
  // abort() signals its own thread; nobody else may be signalled.
  const scmp_arg_cmp own_process = {0, SCMP_CMP_EQ, static_cast<scmp_datum_t>(::getpid()), 0};
  seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, &own_process);
  const bool loaded = seccomp_load(filter) == 0;
  seccomp_release(filter);
  return loaded;
}

}  // namespace

bool EnterSandbox(int socket, int descriptor, std::uint64_t memory_bytes) noexcept {
  LeaveGroupSignalsToParent();
  KeepOnly(socket, descriptor);
  LimitResources(memory_bytes);
  ::prctl(PR_SET_DUMPABLE, 0);
  return FilterSystemCalls();
}

void EndThisProcessAfter(unsigned seconds) noexcept {
  itimerval timer{};
  timer.it_value.tv_sec = static_cast<time_t>(seconds);
  ::setitimer(ITIMER_REAL, &timer, nullptr);
}

}  // namespace ckpt::formats
