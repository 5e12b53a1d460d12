// A child of this process in which a library that hostile input can kill, hang or take over does
// its work: forked without exec, under limits, asked one question at a time. The parent trusts
// nothing that comes back but its length.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ckpt/result.h"

namespace ckpt::formats {

struct ChildLimits {
  std::uint64_t memory_bytes;  // of address space, on top of what the parent has at the fork
  unsigned seconds;            // for one answer
};

// Runs in the child, once per request. `shared` is memory that the parent reads afterwards.
// std::bad_alloc is reported to the parent as the memory limit; other exceptions end the child.
using ChildHandler = std::function<std::vector<std::byte>(std::span<const std::byte> request,
                                                          std::span<std::byte> shared)>;

class ChildProcess {
 public:
  static constexpr std::size_t kSharedBytes = std::size_t{1} << 20;

  // Forks. The child keeps `descriptor` (none if negative), its end of a socket and /dev/null, and
  // can open nothing, run nothing and send no signal. It ends with this object, with this process,
  // or when an answer takes too long. `name` is for messages: "the HDF5 library".
  // REQUIRES: no thread of this process is inside that library.
  static Result<std::unique_ptr<ChildProcess>> Start(std::string name, int descriptor,
                                                     const ChildLimits& limits,
                                                     const ChildHandler& handler);
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  // The child's answer; the first bytes of the shared memory are copied to `shared_out` with it.
  // `doing` is for messages: "reading /a/b". Callers from several threads take turns.
  //   kCorrupt        the child died, or spoke out of turn;
  //   kLimitExceeded  no answer in time, no memory left, or an answer above `max_bytes`.
  // After one of these the child is gone, and every later call returns the same error.
  Result<std::vector<std::byte>> Ask(std::span<const std::byte> request, std::uint64_t max_bytes,
                                     std::span<std::byte> shared_out, std::string_view doing);

  pid_t pid() const noexcept { return pid_; }
  // The kernel took no filter of system calls, by the child's latest answer: for a note to people,
  // as a child that was taken over may say anything.
  bool unfiltered() const noexcept { return unfiltered_; }

 private:
  using Deadline = std::chrono::steady_clock::time_point;
  ChildProcess(std::string name, ChildLimits limits, std::span<std::byte> shared);

  Result<std::vector<std::byte>> AskAlive(std::span<const std::byte> request,
                                          std::uint64_t max_bytes, std::string_view doing);
  Status Send(std::span<const std::byte> bytes, std::string_view doing);
  Status Receive(std::span<std::byte> out, Deadline deadline, std::string_view doing);
  Result<std::vector<std::byte>> ReceiveBody(std::uint64_t size, Deadline deadline,
                                             std::string_view doing);
  Error Died(std::string_view doing);
  Error TooSlow(std::string_view doing) const;
  Error TooLarge(std::string_view doing) const;
  // Kills and reaps the child; its wait status where that can be had.
  std::optional<int> End(bool let_it_finish) noexcept;

  std::string name_;
  ChildLimits limits_;
  std::span<std::byte> shared_;
  int socket_ = -1;
  pid_t pid_ = -1;
  std::mutex mutex_;
  std::optional<Error> broken_;
  std::atomic<bool> unfiltered_ = false;
};

}  // namespace ckpt::formats
