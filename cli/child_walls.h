// What a child gives up for good before it becomes another program. Between fork and exec: only
// system calls.
#pragma once

namespace ckpt::cli {

// False where the kernel does not take it; the child goes on without.

// No sockets, no tracing of other processes, no asynchronous calls around this filter (seccomp).
bool RefuseNetwork() noexcept;
// Files are written, made and removed below `folder`, a descriptor of it, and in /dev/null alone
// (Landlock).
bool WriteOnlyBelow(int folder) noexcept;

}  // namespace ckpt::cli
