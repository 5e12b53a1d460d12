// The parent's side of the child that fetches bytes over the network.
#pragma once

#include <sys/types.h>

#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "ckpt/result.h"
#include "formats/remote/covered_ranges.h"

namespace ckpt::formats {

// Calls may come from several threads at once; each waits for its own replies. Once the child is
// gone every call fails with kIo.
class FetchClient {
 public:
  // Forks the child. Afterwards this process holds none of the credentials of the environment.
  static Result<std::unique_ptr<FetchClient>> Start();
  ~FetchClient();
  FetchClient(const FetchClient&) = delete;
  FetchClient& operator=(const FetchClient&) = delete;

  // From now on `shown` stands for `url` (with its secrets), and names below its folder may be
  // opened.
  Status Name(const std::string& shown, const std::string& url);

  struct Opened {
    std::uint64_t file = 0, size = 0;
    std::string version = {};     // its ETag, else Last-Modified; or empty
    std::vector<std::byte> head;  // its first bytes, kFirstFetchBytes at most
  };
  Result<Opened> Open(const std::string& shown);
  void Close(std::uint64_t file);
  // Fetches the ranges at once, each of kMostFetchBytes at most, and hands each on as it comes, on
  // this thread. The first error, once all have come or failed.
  struct Sink {
    virtual ~Sink() = default;
    virtual Status Take(std::size_t index, std::span<const std::byte> bytes) = 0;
    virtual void Missed(std::size_t index) = 0;
  };
  Status Read(std::uint64_t file, std::span<const ByteRange> ranges, Sink& sink);

 private:
  struct Answer {
    std::uint64_t most = 0;  // bytes that it may have
    bool here = false;
    std::optional<Error> error = {};
    std::uint64_t file = 0, file_size = 0, version_size = 0;
    std::vector<std::byte> body = {};
  };
  FetchClient(int socket, pid_t pid) : socket_(socket), pid_(pid) {}

  std::uint64_t Expect(std::uint64_t most);
  Status Send(const void* request, std::size_t size, const std::string& text);
  // One of `tags` that is here, taken out. Receives for all while nobody else does.
  std::pair<std::uint64_t, Answer> WaitFor(const std::vector<std::uint64_t>& tags);
  std::optional<std::uint64_t> HereOf(const std::vector<std::uint64_t>& tags) const;
  bool ReceiveOne();
  void FailAll();

  const int socket_;
  const pid_t pid_;
  std::mutex sending_;
  std::mutex mutex_;  // of all below
  std::condition_variable changed_;
  std::map<std::uint64_t, Answer> answers_;  // expected, by tag
  std::uint64_t next_tag_ = 1;
  bool receiving_ = false, gone_ = false;
};

}  // namespace ckpt::formats
