// What a forked child gives up before it touches hostile bytes. Several walls, each standing alone:
// descriptors, resource limits, and a seccomp filter where the kernel allows one.
#pragma once

#include <cstdint>

namespace ckpt::formats {

// Call once, in a freshly forked child. Afterwards:
// - no descriptor is open but 0 to 2 (/dev/null), `socket` and `descriptor` (none if negative), and
//   none can be opened;
// - the address space may grow by `memory_bytes`; no file can be written, no core is dumped, and no
//   process of the same user can look inside;
// - interrupts from the terminal are left to the parent, other signals have their default action;
// - every system call fails but those of memory, the descriptors above, time and the own death.
// Nothing here fails: a wall that cannot be built leaves the others. False where the kernel took no
// filter of system calls.
bool EnterSandbox(int socket, int descriptor, std::uint64_t memory_bytes) noexcept;

// Lets SIGALRM end this process; 0 seconds takes that back. Unlike PR_SET_PDEATHSIG, which fires
// when the *thread* that forked ends, it suits a parent with threads.
void EndThisProcessAfter(unsigned seconds) noexcept;

}  // namespace ckpt::formats
