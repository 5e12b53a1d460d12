// How an HTTP request of a FetchTransfer is made, and to whom.
#include <arpa/inet.h>
#include <sys/socket.h>

#include <array>
#include <cstdlib>

#include "formats/remote/fetch_transfer.h"

namespace ckpt::formats {
namespace {

std::string AddressText(const sockaddr& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const void* bytes = nullptr;
  if (address.sa_family == AF_INET) bytes = &reinterpret_cast<const sockaddr_in&>(address).sin_addr;
  if (address.sa_family == AF_INET6)
    bytes = &reinterpret_cast<const sockaddr_in6&>(address).sin6_addr;
  if (bytes == nullptr) return {};
  const char* done = ::inet_ntop(address.sa_family, bytes, text.data(), text.size());
  return done == nullptr ? std::string() : std::string(done);
}

bool IsLoopback(const std::string& text) {
  return text.starts_with("127.") || text == "::1" || text.starts_with("::ffff:127.");
}

// Of a proxy nothing is known but its own address.
bool UsesProxy() {
  for (const char* name : {"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"}) {
    const char* value = std::getenv(name);
    if (value != nullptr && *value != '\0') return true;
  }
  return false;
}

}  // namespace

bool FetchTransfer::MayConnect(const sockaddr& address) {
  const std::string text = AddressText(address);
  if (file_->target.this_machine_only && !moved_ && !IsLoopback(text)) {
    Failed(ErrorCode::kUnsafe, "plain http is read from this machine alone");
  } else if (moved_ && file_->named_host_is_public.value_or(true) && !IsPublicAddress(text) &&
             !UsesProxy()) {
    Failed(ErrorCode::kUnsafe,
           "the server redirects to an address of this machine or of a private network, which is "
           "not followed");
  }
  return !failed_;
}

curl_socket_t FetchTransfer::OnSocket(void* self, curlsocktype, curl_sockaddr* address) {
  auto& transfer = *static_cast<FetchTransfer*>(self);
  if (!transfer.MayConnect(address->addr)) return CURL_SOCKET_BAD;
  return ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

bool FetchTransfer::AtNamedOrigin() const {
  return !moved_ || OriginOf(url_) == OriginOf(file_->target.url);
}

void FetchTransfer::SetHeaders() {
  if (headers_ != nullptr) curl_.slist_free_all(headers_);
  headers_ = curl_.slist_append(nullptr, "Accept-Encoding: identity");
  const FetchTarget& target = file_->target;
  const auto add = [&](const std::string& line) {
    headers_ = curl_.slist_append(headers_, line.c_str());
  };
  // Where a version was opened, that one alone. A host that redirects has other tags.
  const bool at_the_file = moved_ || file_->moved_to.empty();
  if (!Opens() && file_->strong_tag && at_the_file && !asked_again_) add("If-Match: " + file_->tag);
  if (AtNamedOrigin() && target.auth == FetchAuth::kBearer)
    add("Authorization: Bearer " + target.token);
  if (AtNamedOrigin() && target.auth == FetchAuth::kSignature4) {
    add("x-amz-content-sha256: UNSIGNED-PAYLOAD");
    if (!target.token.empty()) add("x-amz-security-token: " + target.token);
  }
  Set(CURLOPT_HTTPHEADER, headers_);
}

void FetchTransfer::SetCredentials() {
  const FetchTarget& target = file_->target;
  if (!AtNamedOrigin() || target.user.empty()) return;
  Set(CURLOPT_USERPWD, target.user.c_str());
  if (target.auth == FetchAuth::kBasic) Set(CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
  if (target.auth == FetchAuth::kSignature4)
    Set(CURLOPT_AWS_SIGV4, ("aws:amz:" + target.region + ":s3").c_str());
}

CURL* FetchTransfer::Prepare() {
  if (handle_ != nullptr) curl_.easy_cleanup(handle_);
  handle_ = curl_.easy_init();
  if (handle_ == nullptr) return nullptr;
  head_ = {};
  head_bytes_ = dropped_ = 0;
  judged_ = takes_ = false;
  had_ = body_.size();
  const std::uint64_t begin = Opens() ? 0 : request_.offset + had_;
  const std::uint64_t end = Opens() ? kFirstFetchBytes : request_.offset + request_.size;
  Set(CURLOPT_PRIVATE, this);
  Set(CURLOPT_URL, url_.c_str());
  Set(CURLOPT_RANGE, (std::to_string(begin) + "-" + std::to_string(end - 1)).c_str());
  Set(CURLOPT_USERAGENT, "ckpt");
  Set(CURLOPT_NOSIGNAL, 1L);
  Set(CURLOPT_PROTOCOLS_STR, "http,https");
  if (file_->target.this_machine_only) Set(CURLOPT_PROXY, "");
  Set(CURLOPT_CONNECTTIMEOUT, 15L);
  Set(CURLOPT_LOW_SPEED_LIMIT, 1L);
  Set(CURLOPT_LOW_SPEED_TIME, 30L);
  Set(CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  Set(CURLOPT_PIPEWAIT, 1L);
  if (!file_->target.ca_file.empty()) Set(CURLOPT_CAINFO, file_->target.ca_file.c_str());
  Set(CURLOPT_HEADERFUNCTION, &FetchTransfer::OnHeader);
  Set(CURLOPT_HEADERDATA, this);
  Set(CURLOPT_WRITEFUNCTION, &FetchTransfer::OnBody);
  Set(CURLOPT_WRITEDATA, this);
  Set(CURLOPT_OPENSOCKETFUNCTION, &FetchTransfer::OnSocket);
  Set(CURLOPT_OPENSOCKETDATA, this);
  // A connection that is open already was checked for whoever opened it.
  if (moved_ && hops_ > 0) Set(CURLOPT_FRESH_CONNECT, 1L);
  SetHeaders();
  SetCredentials();
  return handle_;
}

}  // namespace ckpt::formats
