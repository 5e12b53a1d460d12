#include "formats/container/child_socket.h"

#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>
#include <system_error>

namespace ckpt::formats {
namespace {

Error Refused(const std::string& what, int number) {
  return Error{ErrorCode::kIo, what + ": " + std::generic_category().message(number)};
}

}  // namespace

Result<ForkedChild> ForkChild(std::string_view what, const std::function<void(int socket)>& run) {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0)
    return Fail(Refused("cannot create a socket pair", errno));
  sigset_t all{}, before{};
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const pid_t pid = ::fork();
  if (pid == 0) {
    run(ends[1]);
    ::_exit(2);
  }
  const int number = errno;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  ::close(ends[1]);
  if (pid > 0) return ForkedChild{pid, ends[0]};
  ::close(ends[0]);
  return Fail(Refused("cannot start " + std::string(what), number));
}

bool SendWhole(int socket, std::span<const std::byte> bytes) noexcept {
  while (!bytes.empty()) {
    const ssize_t put = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return false;
    bytes = bytes.subspan(static_cast<std::size_t>(put));
  }
  return true;
}

bool ReceiveWhole(int socket, std::span<std::byte> bytes) noexcept {
  while (!bytes.empty()) {
    const ssize_t got = ::recv(socket, bytes.data(), bytes.size(), MSG_WAITALL);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    bytes = bytes.subspan(static_cast<std::size_t>(got));
  }
  return true;
}

}  // namespace ckpt::formats
