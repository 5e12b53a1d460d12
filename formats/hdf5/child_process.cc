#include "formats/hdf5/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <exception>
#include <new>
#include <system_error>
#include <thread>

#include "formats/container/child_socket.h"
#include "formats/hdf5/child_sandbox.h"

namespace ckpt::formats {
namespace {

using Clock = std::chrono::steady_clock;

// Before each message: what follows and how many bytes of it. Both ends are one program.
enum class MessageKind : std::uint32_t { kBody = 0x6b636b01, kNoMemory = 0x6b636b02 };
enum class CallFilter : std::uint32_t { kNone = 0, kLoaded = 1 };
struct MessageHeader {
  MessageKind kind;
  CallFilter filter;  // of the child; of requests: kNone
  std::uint64_t size;
};

// How a child ends that found no memory where it could not say so; another status is a defect.
constexpr int kNoMemoryStatus = 13, kDefectStatus = 2;

// The room for an answer grows as it arrives, whatever length was announced.
constexpr std::size_t kGrowth = std::size_t{1} << 20;

// ---- In the child ----

// Answers until the parent hangs up.
void Serve(int socket, std::span<std::byte> shared, unsigned seconds, CallFilter filter,
           const ChildHandler& handler) {
  for (;;) {
    MessageHeader header{};
    if (!ReceiveWhole(socket, std::as_writable_bytes(std::span(&header, 1)))) return;
    std::vector<std::byte> request(header.size);
    if (!ReceiveWhole(socket, request)) return;
    // The parent stops waiting first; this is for a parent that is gone.
    EndThisProcessAfter(seconds + 2);
    std::vector<std::byte> answer;
    MessageKind kind = MessageKind::kBody;
    try {
      answer = handler(request, shared);
    } catch (const std::bad_alloc&) {
      answer = {};
      kind = MessageKind::kNoMemory;
    }
    header = {kind, filter, answer.size()};
    if (!SendWhole(socket, std::as_bytes(std::span(&header, 1)))) return;
    if (!SendWhole(socket, answer)) return;
    EndThisProcessAfter(0);
  }
}

[[noreturn]] void EndOnException() noexcept {
  try {
    if (std::current_exception()) std::rethrow_exception(std::current_exception());
  } catch (const std::bad_alloc&) {
    ::_exit(kNoMemoryStatus);
  } catch (...) {
  }
  ::_exit(kDefectStatus);
}

[[noreturn]] void RunChild(int socket, int descriptor, std::span<std::byte> shared,
                           const ChildLimits& limits, const ChildHandler& handler) noexcept {
  std::set_terminate(EndOnException);  // the parent's cleans up what is the parent's
  const CallFilter filter = EnterSandbox(socket, descriptor, limits.memory_bytes)
                                ? CallFilter::kLoaded
                                : CallFilter::kNone;
  try {
    Serve(socket, shared, limits.seconds, filter, handler);
  } catch (...) {
    EndOnException();
  }
  ::_exit(0);  // no destructors, no handlers: they belong to the parent
}

}  // namespace

// ---- In the parent ----

ChildProcess::ChildProcess(std::string name, ChildLimits limits, std::span<std::byte> shared)
    : name_(std::move(name)), limits_(limits), shared_(shared) {}

ChildProcess::~ChildProcess() {
  End(false);
  ::munmap(shared_.data(), shared_.size());
}

Result<std::unique_ptr<ChildProcess>> ChildProcess::Start(std::string name, int descriptor,
                                                          const ChildLimits& limits,
                                                          const ChildHandler& handler) {
  void* memory =
      ::mmap(nullptr, kSharedBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    return Fail(ErrorCode::kIo,
                "cannot map shared memory: " + std::generic_category().message(errno));
  }
  const std::span shared(static_cast<std::byte*>(memory), kSharedBytes);
  std::unique_ptr<ChildProcess> child(new ChildProcess(std::move(name), limits, shared));

  CKPT_ASSIGN_OR_RETURN(const ForkedChild forked,
                        ForkChild("a child process for " + child->name_, [&](int socket) {
                          RunChild(socket, descriptor, shared, limits, handler);
                        }));
  child->socket_ = forked.socket;
  child->pid_ = forked.pid;
  return child;
}

std::optional<int> ChildProcess::End(bool let_it_finish) noexcept {
  if (socket_ >= 0) ::close(socket_);
  socket_ = -1;
  if (pid_ <= 0) return std::nullopt;
  const pid_t pid = pid_;
  pid_ = -1;
  int status = 0;
  // A dying process closes its socket some time before it can be waited for.
  for (int i = 0; let_it_finish && i < 1000; ++i) {
    const pid_t ended = ::waitpid(pid, &status, WNOHANG);
    if (ended == pid) return status;
    if (ended < 0 && errno != EINTR) return std::nullopt;  // reaped by somebody else
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  ::kill(pid, SIGKILL);
  while (::waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) return std::nullopt;
  }
  return status;
}

Error ChildProcess::TooSlow(std::string_view doing) const {
  return Error{ErrorCode::kLimitExceeded,
               name_ + " gave no answer within " + std::to_string(limits_.seconds) +
                   " s (the limit hdf5_seconds) while " + std::string(doing)};
}

Error ChildProcess::TooLarge(std::string_view doing) const {
  rlimit own{};
  if (::getrlimit(RLIMIT_AS, &own) == 0 && own.rlim_cur != RLIM_INFINITY) {
    return Error{ErrorCode::kLimitExceeded,
                 name_ + " found no memory within the limit of this process (" +
                     std::to_string(own.rlim_cur) + " bytes of address space) while " +
                     std::string(doing)};
  }
  return Error{ErrorCode::kLimitExceeded,
               name_ + " wanted more than " + std::to_string(limits_.memory_bytes) +
                   " bytes of memory (the limit hdf5_memory_bytes) while " + std::string(doing)}
      .With(Remedy::kMoreMemory);
}

Error ChildProcess::Died(std::string_view doing) {
  const std::optional<int> status = End(true);
  std::string how = "hung up";
  ErrorCode code = ErrorCode::kCorrupt;
  if (status && WIFSIGNALED(*status)) {
    const int number = WTERMSIG(*status);
    if (number == SIGALRM) return TooSlow(doing);
    how = "died (signal " + std::to_string(number) + ")";
    // Nobody sends this one but the kernel when the machine has no memory left, or an operator.
    if (number == SIGKILL) code = ErrorCode::kLimitExceeded;
  } else if (status && WIFEXITED(*status)) {
    if (WEXITSTATUS(*status) == kNoMemoryStatus) return TooLarge(doing);
    how = "died (exit status " + std::to_string(WEXITSTATUS(*status)) + ")";
  }
  return Error{code, name_ + " " + how + " while " + std::string(doing)};
}

Status ChildProcess::Send(std::span<const std::byte> bytes, std::string_view doing) {
  // Requests are far smaller than a socket's buffer, and the child is waiting for one.
  if (!SendWhole(socket_, bytes)) return Fail(Died(doing));
  return {};
}

Status ChildProcess::Receive(std::span<std::byte> out, Deadline deadline, std::string_view doing) {
  while (!out.empty()) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    pollfd waiting{socket_, POLLIN, 0};
    const int ready = left <= 0 ? 0 : ::poll(&waiting, 1, static_cast<int>(left));
    if (ready < 0 && errno == EINTR) continue;
    if (ready == 0) {
      End(false);
      return Fail(TooSlow(doing));
    }
    const ssize_t got = ready < 0 ? -1 : ::recv(socket_, out.data(), out.size(), MSG_DONTWAIT);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (got <= 0) return Fail(Died(doing));
    out = out.subspan(static_cast<std::size_t>(got));
  }
  return {};
}

Result<std::vector<std::byte>> ChildProcess::ReceiveBody(std::uint64_t size, Deadline deadline,
                                                         std::string_view doing) {
  std::vector<std::byte> body;
  while (body.size() < size) {
    const std::size_t have = body.size();
    body.resize(have + static_cast<std::size_t>(std::min<std::uint64_t>(size - have, kGrowth)));
    CKPT_RETURN_IF_ERROR(Receive(std::span(body).subspan(have), deadline, doing));
  }
  return body;
}

Result<std::vector<std::byte>> ChildProcess::AskAlive(std::span<const std::byte> request,
                                                      std::uint64_t max_bytes,
                                                      std::string_view doing) {
  const Deadline deadline = Clock::now() + std::chrono::seconds(limits_.seconds);
  MessageHeader header{MessageKind::kBody, CallFilter::kNone, request.size()};
  CKPT_RETURN_IF_ERROR(Send(std::as_bytes(std::span(&header, 1)), doing));
  CKPT_RETURN_IF_ERROR(Send(request, doing));
  CKPT_RETURN_IF_ERROR(Receive(std::as_writable_bytes(std::span(&header, 1)), deadline, doing));
  if (header.kind == MessageKind::kNoMemory) return Fail(TooLarge(doing));
  if (header.kind != MessageKind::kBody) {
    return Fail(ErrorCode::kCorrupt,
                name_ + " gave no sensible answer while " + std::string(doing));
  }
  unfiltered_ = header.filter != CallFilter::kLoaded;
  if (header.size > max_bytes) {
    return Fail(Error{ErrorCode::kLimitExceeded, name_ + " gave an answer of " +
                                                     std::to_string(header.size) +
                                                     " bytes, where " + std::to_string(max_bytes) +
                                                     " are the limit, while " + std::string(doing)}
                    .With(Remedy::kMoreMemory));
  }
  return ReceiveBody(header.size, deadline, doing);
}

Result<std::vector<std::byte>> ChildProcess::Ask(std::span<const std::byte> request,
                                                 std::uint64_t max_bytes,
                                                 std::span<std::byte> shared_out,
                                                 std::string_view doing) {
  const std::lock_guard lock(mutex_);
  if (broken_) return Fail(*broken_);
  auto answer = AskAlive(request, max_bytes, doing);
  if (!answer) {
    End(false);
    broken_ = answer.error();
    return answer;
  }
  // Copied, so that what is checked here cannot change there.
  const std::size_t shared_bytes = std::min(shared_out.size(), shared_.size());
  if (shared_bytes > 0) std::memcpy(shared_out.data(), shared_.data(), shared_bytes);
  return answer;
}

}  // namespace ckpt::formats
