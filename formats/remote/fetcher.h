// The loop of the child that fetches: requests in, HTTP transfers side by side, replies out.
#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <list>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "formats/remote/curl_library.h"
#include "formats/remote/fetch_transfer.h"
#include "formats/remote/fetch_wire.h"
#include "formats/remote/fetched_file.h"

namespace ckpt::formats {

class Fetcher {
 public:
  // `cannot` is why nothing can be fetched: then every request is answered with it.
  Fetcher(int socket, const CurlLibrary& curl, FetchNames names, std::string cannot);
  // Until the parent hangs up.
  void Run();

 private:
  using Transfer = std::unique_ptr<FetchTransfer>;

  bool TakeRequest();
  void TakeOpen(const FetchRequest& request, const std::string& shown);
  void TakeRead(const FetchRequest& request);
  void StartWaiting();
  void FinishReady();
  void Finish(FetchTransfer* transfer, CURLcode code);
  void Reply(const FetchTransfer& transfer, std::vector<std::byte> body);
  void ReplyError(const FetchRequest& request, const Error& error);
  void Queue(const FetchReply& reply, std::span<const std::byte> body);
  bool SendQueued();
  int MillisecondsToWait() const;

  const int socket_;
  const CurlLibrary& curl_;
  CURLM* multi_ = nullptr;
  FetchNames names_;
  const std::string cannot_;
  std::map<std::uint64_t, std::shared_ptr<FetchedFile>> files_;  // by number
  std::uint64_t next_file_ = 0;
  std::list<Transfer> waiting_, running_;
  std::deque<std::vector<std::byte>> outgoing_;
  std::size_t sent_ = 0;  // of the first of these
};

}  // namespace ckpt::formats
