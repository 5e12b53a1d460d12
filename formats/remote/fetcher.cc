#include "formats/remote/fetcher.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "formats/container/child_socket.h"

namespace ckpt::formats {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kMostRunning = 16;  // transfers side by side

}  // namespace

Fetcher::Fetcher(int socket, const CurlLibrary& curl, FetchNames names, std::string cannot)
    : socket_(socket), curl_(curl), names_(std::move(names)), cannot_(std::move(cannot)) {
  if (!cannot_.empty()) return;
  multi_ = curl_.multi_init();
  curl_.multi_setopt(multi_, CURLMOPT_MAX_HOST_CONNECTIONS, static_cast<long>(kMostRunning));
}

void Fetcher::Queue(const FetchReply& reply, std::span<const std::byte> body) {
  std::vector<std::byte> bytes(sizeof reply + body.size());
  std::memcpy(bytes.data(), &reply, sizeof reply);
  std::copy(body.begin(), body.end(), bytes.begin() + sizeof reply);
  outgoing_.push_back(std::move(bytes));
}

void Fetcher::ReplyError(const FetchRequest& request, const Error& error) {
  FetchReply reply;
  reply.outcome = kFetchFailed + static_cast<std::uint32_t>(error.code);
  reply.tag = request.tag;
  const std::span text = std::as_bytes(std::span(error.message))
                             .first(std::min<std::size_t>(error.message.size(), 2048));
  reply.body_size = static_cast<std::uint32_t>(text.size());
  Queue(reply, text);
}

void Fetcher::Reply(const FetchTransfer& transfer, std::vector<std::byte> body) {
  FetchReply reply;
  reply.tag = transfer.request().tag;
  reply.file = transfer.request().file;
  if (transfer.request().kind == FetchKind::kOpen) {
    reply.file = next_file_++;
    files_.emplace(reply.file, transfer.file());
    const std::span version = std::as_bytes(std::span(transfer.file()->tag));
    if (version.size() <= kMostFetchVersion) {
      body.insert(body.begin(), version.begin(), version.end());
      reply.version_size = version.size();
    }
  }
  reply.body_size = static_cast<std::uint32_t>(body.size());
  reply.file_size = transfer.file()->size;
  Queue(reply, body);
}

void Fetcher::TakeOpen(const FetchRequest& request, const std::string& shown) {
  auto file = names_.Find(shown);
  if (!file) return ReplyError(request, file.error());
  waiting_.push_back(std::make_unique<FetchTransfer>(
      curl_, request, std::make_shared<FetchedFile>(*std::move(file))));
}

void Fetcher::TakeRead(const FetchRequest& request) {
  const auto known = files_.find(request.file);
  if (known == files_.end() || request.size == 0 || request.size > kMostFetchBytes ||
      request.offset > known->second->size || request.size > known->second->size - request.offset) {
    return ReplyError(request, {ErrorCode::kInternal, "a range outside the file was asked for"});
  }
  const auto& file = known->second;
  if (!file->whole) {
    waiting_.push_back(std::make_unique<FetchTransfer>(curl_, request, file));
    return;
  }
  FetchReply reply;
  reply.tag = request.tag;
  reply.body_size = static_cast<std::uint32_t>(request.size);
  reply.file = request.file;
  reply.file_size = file->size;
  Queue(reply, std::span(*file->whole).subspan(request.offset, request.size));
}

// False where the parent is gone, or does not speak as it should.
bool Fetcher::TakeRequest() {
  FetchRequest request;
  if (!ReceiveWhole(socket_, std::as_writable_bytes(std::span(&request, 1)))) return false;
  if (request.text_size > kMostFetchText) return false;
  std::string text(request.text_size, '\0');
  if (!ReceiveWhole(socket_, std::as_writable_bytes(std::span(text)))) return false;
  if (request.kind == FetchKind::kName) {
    const std::size_t end = text.find('\0');
    if (end != std::string::npos) names_.Add(text.substr(0, end), text.substr(end + 1));
    return true;
  }
  if (request.kind == FetchKind::kClose) {
    files_.erase(request.file);
    return true;
  }
  if (!cannot_.empty()) {
    ReplyError(request, {ErrorCode::kIo, cannot_});
    return true;
  }
  request.kind == FetchKind::kOpen ? TakeOpen(request, text) : TakeRead(request);
  return true;
}

void Fetcher::StartWaiting() {
  for (auto at = waiting_.begin(); at != waiting_.end() && running_.size() < kMostRunning;) {
    if ((*at)->not_before() > Clock::now()) {
      ++at;
      continue;
    }
    CURL* handle = (*at)->Prepare();
    if (handle == nullptr || curl_.multi_add_handle(multi_, handle) != CURLM_OK) {
      ReplyError((*at)->request(), {ErrorCode::kLimitExceeded, "there is not enough memory"});
      at = waiting_.erase(at);
      continue;
    }
    running_.splice(running_.end(), waiting_, at++);
  }
}

void Fetcher::Finish(FetchTransfer* transfer, CURLcode code) {
  const auto at = std::find_if(running_.begin(), running_.end(),
                               [&](const Transfer& other) { return other.get() == transfer; });
  if (at == running_.end()) return;
  switch (transfer->Finish(code)) {
    case FetchTransfer::Next::kAgain:
      waiting_.splice(waiting_.begin(), running_, at);
      return;
    case FetchTransfer::Next::kDone:
      Reply(*transfer, std::move(transfer->body()));
      break;
    case FetchTransfer::Next::kFailed:
      ReplyError(transfer->request(), transfer->error());
      break;
  }
  running_.erase(at);
}

void Fetcher::FinishReady() {
  int still = 0;
  curl_.multi_perform(multi_, &still);
  while (CURLMsg* message = curl_.multi_info_read(multi_, &still)) {
    if (message->msg != CURLMSG_DONE) continue;
    CURL* handle = message->easy_handle;
    const CURLcode code = message->data.result;
    FetchTransfer* transfer = nullptr;
    curl_.easy_getinfo(handle, CURLINFO_PRIVATE, &transfer);
    curl_.multi_remove_handle(multi_, handle);
    Finish(transfer, code);
  }
}

bool Fetcher::SendQueued() {
  while (!outgoing_.empty()) {
    const std::span left = std::span(outgoing_.front()).subspan(sent_);
    const ssize_t put = ::send(socket_, left.data(), left.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return errno == EAGAIN;
    sent_ += static_cast<std::size_t>(put);
    if (sent_ < outgoing_.front().size()) continue;
    outgoing_.pop_front();
    sent_ = 0;
  }
  return true;
}

int Fetcher::MillisecondsToWait() const {
  constexpr int kLong = 10'000;
  if (running_.size() >= kMostRunning) return kLong;
  int least = kLong;
  for (const Transfer& transfer : waiting_) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(transfer->not_before() - Clock::now());
    least = std::min<int>(least, std::max<int>(0, static_cast<int>(left.count())));
  }
  return least;
}

void Fetcher::Run() {
  for (;;) {
    if (multi_ != nullptr) {
      StartWaiting();
      FinishReady();
    }
    if (!SendQueued()) return;
    if (multi_ == nullptr) {  // there is nothing to wait for but the parent
      if (!TakeRequest()) return;
      continue;
    }
    curl_waitfd parent{socket_, CURL_WAIT_POLLIN, 0};
    if (!outgoing_.empty()) parent.events |= CURL_WAIT_POLLOUT;
    if (curl_.multi_poll(multi_, &parent, 1, MillisecondsToWait(), nullptr) != CURLM_OK) return;
    if ((parent.revents & CURL_WAIT_POLLIN) != 0 && !TakeRequest()) return;
  }
}

}  // namespace ckpt::formats
