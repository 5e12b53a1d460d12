// One request of the parent on its way over HTTP: its redirects, its retries, and what of the
// answers is believed.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ckpt/error.h"
#include "formats/remote/curl_library.h"
#include "formats/remote/fetch_wire.h"
#include "formats/remote/fetched_file.h"
#include "formats/remote/response_head.h"

namespace ckpt::formats {

// The most that is fetched whole from a server that sends no ranges.
inline constexpr std::uint64_t kMostFetchedWhole = std::uint64_t{64} << 20;

class FetchTransfer {
 public:
  FetchTransfer(const CurlLibrary& curl, const FetchRequest& request,
                std::shared_ptr<FetchedFile> file);
  ~FetchTransfer();
  FetchTransfer(const FetchTransfer&) = delete;
  FetchTransfer& operator=(const FetchTransfer&) = delete;

  // The handle of the next HTTP request, owned by this object; null where there is no memory.
  CURL* Prepare();
  enum class Next : std::uint8_t { kDone, kAgain, kFailed };
  // After that request. kAgain: Prepare() once more, no earlier than not_before().
  Next Finish(CURLcode code);

  const FetchRequest& request() const noexcept { return request_; }
  const std::shared_ptr<FetchedFile>& file() const noexcept { return file_; }
  std::chrono::steady_clock::time_point not_before() const noexcept { return not_before_; }
  std::vector<std::byte>& body() noexcept { return body_; }  // kDone
  const Error& error() const noexcept { return error_; }     // kFailed

 private:
  bool Opens() const noexcept { return request_.kind == FetchKind::kOpen; }
  bool AtNamedOrigin() const;
  void SetHeaders();
  void SetCredentials();
  template <typename Value>
  void Set(CURLoption option, Value value) {
    curl_.easy_setopt(handle_, option, value);
  }

  static std::size_t OnHeader(char* data, std::size_t size, std::size_t count, void* self);
  static std::size_t OnBody(char* data, std::size_t size, std::size_t count, void* self);
  static curl_socket_t OnSocket(void* self, curlsocktype purpose, curl_sockaddr* address);
  bool MayConnect(const sockaddr& address);
  // Of the head that is complete: may its body be taken? Sets wanted_ or error_.
  bool Judge();
  bool JudgeRange();
  bool JudgeWhole();
  bool IsSameVersion() const;

  Next Redirect();
  Next Refused();  // by a status of the server
  Next Complete();
  Next Retry(const std::string& why);
  Next Failed(ErrorCode code, std::string message);

  const CurlLibrary& curl_;
  const FetchRequest request_;
  const std::shared_ptr<FetchedFile> file_;
  CURL* handle_ = nullptr;
  curl_slist* headers_ = nullptr;

  std::string url_;           // of this HTTP request
  unsigned hops_ = 0;         // redirects that led to url_
  bool moved_ = false;        // url_ is not the named one
  bool asked_again_ = false;  // at the named host, after the place where it had led refused
  unsigned tries_ = 0;        // in vain, one after the other
  std::chrono::steady_clock::time_point not_before_ = {};

  ResponseHead head_;
  std::size_t head_bytes_ = 0, dropped_ = 0;
  bool judged_ = false, takes_ = false;
  std::uint64_t wanted_ = 0;  // bytes that body_ will have at the end of this HTTP request
  std::size_t had_ = 0;       // bytes of it before this HTTP request
  std::vector<std::byte> body_;
  bool failed_ = false;
  Error error_;
};

}  // namespace ckpt::formats
