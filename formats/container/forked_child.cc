#include "formats/container/forked_child.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>

namespace ckpt::formats {

void DefaultSignals() noexcept {
  for (int number = 1; number < NSIG; ++number) ::signal(number, SIG_DFL);
  sigset_t none{};
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

void CloseDescriptors(unsigned first, unsigned last) noexcept {
  if (first > last || ::close_range(first, last, 0) == 0) return;
  constexpr unsigned kMost = 65536;  // kernels before 5.9
  for (unsigned i = first; i < kMost && i <= last; ++i) ::close(static_cast<int>(i));
}

void LowerLimit(__rlimit_resource resource, std::uint64_t value) noexcept {
  rlimit limit{};
  if (::getrlimit(resource, &limit) != 0) return;
  limit.rlim_cur = std::min<rlim_t>(value, limit.rlim_max);
  limit.rlim_max = limit.rlim_cur;
  ::setrlimit(resource, &limit);
}

}  // namespace ckpt::formats
