#include "formats/remote/fetch_transfer.h"

#include <unistd.h>

#include <algorithm>
#include <random>
#include <utility>

namespace ckpt::formats {
namespace {

using std::chrono::milliseconds;

constexpr unsigned kMostRedirects = 5, kMostTries = 5;
constexpr unsigned kMostWaitSeconds = 30;
constexpr std::size_t kEnoughToGoOn = 65536;
constexpr std::size_t kMostHeadBytes = 65536, kMostDropped = 16384;

bool IsWorthATry(CURLcode code) {
  switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
    case CURLE_SSL_CONNECT_ERROR:
      return true;
    default:
      return false;
  }
}

bool IsWorthATry(int status) {
  return status == 429 || status == 500 || status == 502 || status == 503 || status == 504 ||
         status == 408;
}

// How long before the next of `tries` in vain: 0.2 s, doubled each time, and up to half as much.
milliseconds Backoff(unsigned tries) {
  static std::minstd_rand random(static_cast<unsigned>(::getpid()));
  const unsigned base = 200U << std::min(tries - 1, 8U);
  return milliseconds(base + random() % (base / 2));
}

std::string RegionIn(const ResponseHead& head) {
  return head.region.empty() ? "" : "; the bucket is in the region " + head.region;
}

std::string HintOnRefusal(const FetchedFile& file) {
  const bool shown = file.target.auth != FetchAuth::kNone;
  if (file.scheme == "hf")
    return shown ? "the token does not open it" : "HF_TOKEN is not set, and it may need one";
  if (file.scheme == "s3")
    return shown ? "the key does not open it, or AWS_REGION is another one"
                 : "no key was found (AWS_ACCESS_KEY_ID, AWS_PROFILE), and it may need one";
  if (file.scheme == "gs") {
    return shown
               ? "the key or token does not open it"
               : "GOOGLE_OAUTH_ACCESS_TOKEN and GS_ACCESS_KEY_ID are not set, and it may need one";
  }
  return "it needs other credentials";
}

}  // namespace

FetchTransfer::FetchTransfer(const CurlLibrary& curl, const FetchRequest& request,
                             std::shared_ptr<FetchedFile> file)
    : curl_(curl), request_(request), file_(std::move(file)) {
  moved_ = !file_->moved_to.empty();
  url_ = moved_ ? file_->moved_to : file_->target.url;
}

FetchTransfer::~FetchTransfer() {
  if (handle_ != nullptr) curl_.easy_cleanup(handle_);
  if (headers_ != nullptr) curl_.slist_free_all(headers_);
}

FetchTransfer::Next FetchTransfer::Failed(ErrorCode code, std::string message) {
  error_ = Error{code, std::move(message)};
  failed_ = true;
  return Next::kFailed;
}

FetchTransfer::Next FetchTransfer::Retry(const std::string& why) {
  // It went on: by enough that an end is in sight, and not to begin again.
  if (!Opens() && body_.size() - had_ >= kEnoughToGoOn) tries_ = 0;
  if (++tries_ >= kMostTries)
    return Failed(ErrorCode::kIo, why + ", " + std::to_string(kMostTries) + " times");
  milliseconds wait = Backoff(tries_);
  if (head_.retry_after) {
    if (*head_.retry_after > kMostWaitSeconds) {
      return Failed(ErrorCode::kIo, why + ", and asks to come again in " +
                                        std::to_string(*head_.retry_after) + " s");
    }
    wait = std::max(wait, milliseconds(1000 * *head_.retry_after));
  }
  not_before_ = std::chrono::steady_clock::now() + wait;
  if (Opens()) body_.clear();
  return Next::kAgain;
}

FetchTransfer::Next FetchTransfer::Redirect() {
  char* place = nullptr;
  curl_.easy_getinfo(handle_, CURLINFO_REDIRECT_URL, &place);
  if (place == nullptr) {
    return Failed(ErrorCode::kIo, "the server answers " + std::to_string(head_.status) +
                                      " and does not say where to go" + RegionIn(head_));
  }
  const std::string to = place;
  if (++hops_ > kMostRedirects)
    return Failed(ErrorCode::kIo, "the server redirects more than five times");
  if (const std::string why = WhyNotFollow(url_, to); !why.empty())
    return Failed(ErrorCode::kUnsafe, "the server redirects " + why + ", which is not followed");
  char* address = nullptr;
  curl_.easy_getinfo(handle_, CURLINFO_PRIMARY_IP, &address);
  if (!moved_) file_->named_host_is_public = address != nullptr && IsPublicAddress(address);
  moved_ = true;
  url_ = to;
  not_before_ = {};
  body_.resize(had_);
  return Next::kAgain;
}

FetchTransfer::Next FetchTransfer::Refused() {
  const std::string status = std::to_string(head_.status);
  const bool expired = head_.status == 401 || head_.status == 403;
  // A signed address that is no longer good: the named host gives a new one.
  if (moved_ && hops_ == 0 && expired && !asked_again_) {
    asked_again_ = true;
    moved_ = false;
    url_ = file_->target.url;
    return Next::kAgain;
  }
  if (head_.status == 404 || head_.status == 410)
    return Failed(ErrorCode::kNotFound, "no such file: the server answers " + status);
  if (expired) {
    // Stores and hubs answer so for what is not there, too.
    return Failed(Opens() ? ErrorCode::kNotFound : ErrorCode::kIo,
                  "the server answers " + status + ": " + HintOnRefusal(*file_));
  }
  if (head_.status == 412)
    return Failed(ErrorCode::kIo, "was changed or replaced while it was read; run it again");
  if (head_.status == 416 && Opens() && head_.total_of_416 == 0U) {
    file_->size = 0;
    return Next::kDone;
  }
  if (IsWorthATry(head_.status)) return Retry("the server answers " + status);
  return Failed(ErrorCode::kIo, "the server answers " + status + RegionIn(head_));
}

FetchTransfer::Next FetchTransfer::Complete() {
  if (body_.size() < wanted_) return Retry("the server cuts its answer");
  if (Opens()) {
    file_->tag = head_.tag;
    file_->strong_tag = head_.strong_tag;
    file_->moved_to = moved_ ? url_ : "";
    if (head_.status == 200) {
      file_->size = body_.size();
      file_->whole = body_;
      body_.resize(std::min(body_.size(), kFirstFetchBytes));
    }
    return Next::kDone;
  }
  if (asked_again_) file_->moved_to = moved_ ? url_ : "";
  if (body_.size() == request_.size) return Next::kDone;
  tries_ = 0;  // the server sent less than was asked for, and said so
  not_before_ = {};
  return Next::kAgain;
}

FetchTransfer::Next FetchTransfer::Finish(CURLcode code) {
  if (failed_) return Next::kFailed;
  // Before anything was judged there may be no body at all: of a redirect, of an empty file.
  if (code == CURLE_OK && !judged_) takes_ = Judge();
  if (failed_) return Next::kFailed;
  const bool answered = judged_ && head_.status != 0;
  if (answered && !takes_) {
    return head_.status >= 300 && head_.status < 400 && head_.status != 304 ? Redirect()
                                                                            : Refused();
  }
  if (code == CURLE_OK) return Complete();
  if (answered && code == CURLE_WRITE_ERROR)
    return Failed(ErrorCode::kIo, "the server sends more bytes than it was asked for");
  if (code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE) {
    return Failed(ErrorCode::kIo,
                  "the certificate of the server is not to be trusted (SSL_CERT_FILE may name more "
                  "authorities)");
  }
  if (IsWorthATry(code)) {
    const bool cut = code == CURLE_PARTIAL_FILE || (answered && code == CURLE_RECV_ERROR);
    return Retry(cut ? "the server cuts its answer" : curl_.easy_strerror(code));
  }
  return Failed(ErrorCode::kIo, curl_.easy_strerror(code));
}

bool FetchTransfer::IsSameVersion() const {
  return (file_->tag.empty() || head_.tag == file_->tag) &&
         (!head_.range || !head_.range->total || *head_.range->total == file_->size);
}

bool FetchTransfer::JudgeRange() {
  const std::uint64_t begin = Opens() ? 0 : request_.offset + had_;
  const std::uint64_t end = Opens() ? kFirstFetchBytes : request_.offset + request_.size;
  const auto& range = head_.range;
  if (!range || head_.coded || head_.multipart || range->begin != begin || range->end > end) {
    Failed(ErrorCode::kIo, "the server answers with another range than it was asked for");
  } else if (head_.length && *head_.length != range->end - range->begin) {
    Failed(ErrorCode::kIo, "the server contradicts itself on the length of its answer");
  } else if (Opens() && !range->total) {
    Failed(ErrorCode::kUnsupported, "the server does not say how long the file is");
  } else if (Opens() && range->end != std::min<std::uint64_t>(end, *range->total)) {
    Failed(ErrorCode::kIo, "the server answers with another range than it was asked for");
  } else if (!Opens() && !IsSameVersion()) {
    Failed(ErrorCode::kIo, "was changed or replaced while it was read; run it again");
  } else {
    if (Opens()) file_->size = *range->total;
    wanted_ = had_ + (range->end - range->begin);
  }
  return !failed_;
}

// The server knows no ranges.
bool FetchTransfer::JudgeWhole() {
  if (!Opens()) {
    Failed(ErrorCode::kIo, "the server answers with the whole file where a part was asked for");
  } else if (head_.coded) {
    Failed(ErrorCode::kUnsupported, "the server sends the file in another encoding");
  } else if (head_.length && *head_.length > kMostFetchedWhole) {
    Failed(ErrorCode::kUnsupported, "the server sends no parts of files, and the whole has " +
                                        std::to_string(*head_.length) + " bytes, where " +
                                        std::to_string(kMostFetchedWhole) +
                                        " are the most that is fetched so");
  }
  wanted_ = head_.length.value_or(0);
  return !failed_;
}

bool FetchTransfer::Judge() {
  judged_ = true;
  if (head_.status == 206) return JudgeRange();
  if (head_.status == 200) return JudgeWhole();
  return false;
}

std::size_t FetchTransfer::OnHeader(char* data, std::size_t size, std::size_t count, void* self) {
  auto& transfer = *static_cast<FetchTransfer*>(self);
  transfer.head_bytes_ += size * count;
  if (transfer.head_bytes_ > kMostHeadBytes) {
    transfer.Failed(ErrorCode::kIo, "the server answers with a head without end");
    return 0;
  }
  transfer.head_.Take(std::string_view(data, size * count));
  return size * count;
}

std::size_t FetchTransfer::OnBody(char* data, std::size_t size, std::size_t count, void* self) {
  auto& transfer = *static_cast<FetchTransfer*>(self);
  const std::size_t got = size * count;
  if (!transfer.judged_) transfer.takes_ = transfer.Judge();
  if (transfer.failed_) return 0;
  if (!transfer.takes_) {  // what a server says of an error
    transfer.dropped_ += got;
    return transfer.dropped_ > kMostDropped ? 0 : got;
  }
  const bool endless = transfer.head_.status == 200 && !transfer.head_.length;
  const std::uint64_t most = endless ? kMostFetchedWhole : transfer.wanted_;
  if (got > most - std::min<std::uint64_t>(most, transfer.body_.size())) return 0;
  const auto* bytes = reinterpret_cast<const std::byte*>(data);
  transfer.body_.insert(transfer.body_.end(), bytes, bytes + got);
  return got;
}

}  // namespace ckpt::formats
