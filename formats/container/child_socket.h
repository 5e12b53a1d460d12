// A child of this process that was forked, not started anew, and the socket between the two.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <functional>
#include <span>
#include <string_view>

#include "ckpt/result.h"

namespace ckpt::formats {

struct ForkedChild {
  pid_t pid = -1;
  int socket = -1;  // the parent's end
};

// Forks. The child calls `run` with its end of a stream socket pair, every signal blocked so that
// no handler of the parent's runs in it, and never comes back. kIo where the system refuses a
// socket or the child, which `what` names ("a child process for x.h5").
Result<ForkedChild> ForkChild(std::string_view what, const std::function<void(int socket)>& run);

// False where the other end is gone. A closed socket raises no signal.
bool SendWhole(int socket, std::span<const std::byte> bytes) noexcept;
bool ReceiveWhole(int socket, std::span<std::byte> bytes) noexcept;

}  // namespace ckpt::formats
