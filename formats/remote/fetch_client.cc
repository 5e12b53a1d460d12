#include "formats/remote/fetch_client.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "formats/container/child_socket.h"
#include "formats/remote/credentials.h"
#include "formats/remote/fetch_child.h"
#include "formats/remote/fetch_wire.h"

namespace ckpt::formats {
namespace {

Error Gone() {
  return Error{ErrorCode::kIo, "the process that fetches bytes over the network ended early"};
}

constexpr std::size_t kMostMessage = 4096;  // of an error

}  // namespace

Result<std::unique_ptr<FetchClient>> FetchClient::Start() {
  CKPT_ASSIGN_OR_RETURN(const ForkedChild child,
                        ForkChild("a process that fetches bytes", RunFetchChild));
  ForgetCredentials();
  return std::unique_ptr<FetchClient>(new FetchClient(child.socket, child.pid));
}

FetchClient::~FetchClient() {
  ::close(socket_);
  ::kill(pid_, SIGKILL);
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

std::uint64_t FetchClient::Expect(std::uint64_t most) {
  const std::lock_guard lock(mutex_);
  const std::uint64_t tag = next_tag_++;
  Answer& answer = answers_[tag];
  answer.most = most;
  if (gone_) answer.here = true, answer.error = Gone();
  return tag;
}

Status FetchClient::Send(const void* request, std::size_t size, const std::string& text) {
  const std::lock_guard lock(sending_);
  const std::span header(static_cast<const std::byte*>(request), size);
  if (SendWhole(socket_, header) && SendWhole(socket_, std::as_bytes(std::span(text)))) return {};
  return Fail(Gone());
}

Status FetchClient::Name(const std::string& shown, const std::string& url) {
  const std::string text = shown + '\0' + url;
  if (text.size() > kMostFetchText)
    return Fail(ErrorCode::kInvalidArgument, "a URL is too long to be fetched");
  FetchRequest request{FetchKind::kName};
  request.text_size = static_cast<std::uint32_t>(text.size());
  return Send(&request, sizeof request, text);
}

Result<FetchClient::Opened> FetchClient::Open(const std::string& shown) {
  if (shown.size() > kMostFetchText)
    return Fail(Error{ErrorCode::kInvalidArgument, "is too long for a URL"}.In(shown));
  FetchRequest request{FetchKind::kOpen};
  request.text_size = static_cast<std::uint32_t>(shown.size());
  request.tag = Expect(kFirstFetchBytes + kMostFetchVersion);
  if (Status sent = Send(&request, sizeof request, shown); !sent) FailAll();
  Answer answer = WaitFor({request.tag}).second;
  if (answer.error) return Fail(*std::move(answer.error));
  if (answer.version_size > std::min(answer.body.size(), kMostFetchVersion)) return Fail(Gone());
  const auto head = answer.body.begin() + static_cast<std::ptrdiff_t>(answer.version_size);
  Opened opened;
  opened.file = answer.file;
  opened.size = answer.file_size;
  opened.version.assign(reinterpret_cast<const char*>(answer.body.data()), answer.version_size);
  opened.head.assign(head, answer.body.end());
  return opened;
}

void FetchClient::Close(std::uint64_t file) {
  FetchRequest request{FetchKind::kClose};
  request.file = file;
  if (Status sent = Send(&request, sizeof request, {}); !sent) FailAll();
}

Status FetchClient::Read(std::uint64_t file, std::span<const ByteRange> ranges, Sink& sink) {
  std::vector<std::uint64_t> tags;
  std::map<std::uint64_t, std::size_t> index_of;
  for (const ByteRange& range : ranges) {
    FetchRequest request{FetchKind::kRead};
    request.tag = Expect(range.size());
    request.file = file;
    request.offset = range.begin;
    request.size = range.size();
    index_of.emplace(request.tag, tags.size());
    tags.push_back(request.tag);
    if (Status sent = Send(&request, sizeof request, {}); !sent) FailAll();
  }
  Status first;
  while (!tags.empty()) {
    auto [tag, answer] = WaitFor(tags);
    tags.erase(std::find(tags.begin(), tags.end(), tag));
    const std::size_t index = index_of[tag];
    if (!answer.error && answer.body.size() != ranges[index].size()) answer.error = Gone();
    Status taken = answer.error ? Status(Fail(*answer.error)) : sink.Take(index, answer.body);
    if (!taken) sink.Missed(index);
    if (!taken && first) first = std::move(taken);
  }
  return first;
}

std::optional<std::uint64_t> FetchClient::HereOf(const std::vector<std::uint64_t>& tags) const {
  for (const std::uint64_t tag : tags) {
    if (answers_.at(tag).here) return tag;
  }
  return std::nullopt;
}

std::pair<std::uint64_t, FetchClient::Answer> FetchClient::WaitFor(
    const std::vector<std::uint64_t>& tags) {
  std::unique_lock lock(mutex_);
  for (;;) {
    if (const auto tag = HereOf(tags)) {
      Answer answer = std::move(answers_.at(*tag));
      answers_.erase(*tag);
      return {*tag, std::move(answer)};
    }
    if (receiving_) {
      changed_.wait(lock);
      continue;
    }
    receiving_ = true;
    lock.unlock();
    const bool received = ReceiveOne();
    if (!received) FailAll();
    lock.lock();
    receiving_ = false;
    changed_.notify_all();
  }
}

// By one thread at a time. What the child says is checked against what was asked.
bool FetchClient::ReceiveOne() {
  FetchReply reply;
  if (!ReceiveWhole(socket_, std::as_writable_bytes(std::span(&reply, 1)))) return false;
  const bool done = reply.outcome == kFetchDone;
  const std::uint32_t code = reply.outcome - kFetchFailed;
  {
    const std::lock_guard lock(mutex_);
    const auto expected = answers_.find(reply.tag);
    if (expected == answers_.end() || expected->second.here) return false;
    if (reply.body_size > (done ? expected->second.most : kMostMessage)) return false;
    if (!done && code > static_cast<std::uint32_t>(ErrorCode::kInternal)) return false;
  }
  std::vector<std::byte> body(reply.body_size);
  if (!ReceiveWhole(socket_, body)) return false;
  const std::lock_guard lock(mutex_);
  Answer& answer = answers_.at(reply.tag);
  answer.file = reply.file;
  answer.file_size = reply.file_size;
  answer.version_size = reply.version_size;
  answer.here = true;
  if (done) {
    answer.body = std::move(body);
  } else {
    answer.error = Error{static_cast<ErrorCode>(code),
                         std::string(reinterpret_cast<const char*>(body.data()), body.size())};
  }
  return true;
}

void FetchClient::FailAll() {
  const std::lock_guard lock(mutex_);
  gone_ = true;
  for (auto& [tag, answer] : answers_) {
    if (!answer.here) answer.here = true, answer.error = Gone();
  }
  changed_.notify_all();
}

}  // namespace ckpt::formats
