// The head of an HTTP response as far as fetching ranges needs it, and what it promises. Hostile
// input: numbers are checked, nothing is kept that is not asked for.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ckpt::formats {

struct ContentRange {
  std::uint64_t begin = 0, end = 0;         // [begin, end)
  std::optional<std::uint64_t> total = {};  // of the file; absent for "*"
};

struct ResponseHead {
  int status = 0;
  std::optional<std::uint64_t> length = {};
  std::optional<ContentRange> range = {};
  std::optional<std::uint64_t> total_of_416 = {};  // "bytes */0"
  std::string tag = {};                            // ETag, else Last-Modified; or empty
  bool strong_tag = false;                         // an ETag that If-Match may name
  bool coded = false;                              // by a Content-Encoding: no bytes of the file
  bool multipart = false;                          // several ranges in one body
  std::optional<unsigned> retry_after = {};        // seconds
  std::string region = {};                         // that an S3 bucket is in

  // A line as it was received. A status line begins a new head.
  void Take(std::string_view line);
};

// Not a loopback, link-local, private or otherwise local address; IPv4 inside IPv6 looked into.
// Of text such as "192.0.2.1" or "2001:db8::1"; what is no address is not public.
bool IsPublicAddress(const std::string& text) noexcept;

// May a response of `from` send this program on to `to`? Empty: yes; else why not.
std::string WhyNotFollow(const std::string& from, const std::string& to);

}  // namespace ckpt::formats
