#include "formats/remote/response_head.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cstring>

#include "formats/encoding/blanks.h"

namespace ckpt::formats {
namespace {

std::optional<std::uint64_t> Number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// RFC 9110, 14.4: "bytes 0-99/1234", "bytes 0-99/*"; the last offset is part of the range.
std::optional<ContentRange> RangeOf(std::string_view text) {
  if (!text.starts_with("bytes ")) return std::nullopt;
  text = Trimmed(text.substr(6));
  const std::size_t dash = text.find('-'), slash = text.find('/');
  if (dash == std::string_view::npos || slash == std::string_view::npos || dash > slash)
    return std::nullopt;
  const auto first = Number(text.substr(0, dash));
  const auto last = Number(text.substr(dash + 1, slash - dash - 1));
  if (!first || !last || *last < *first || *last == UINT64_MAX) return std::nullopt;
  ContentRange range{*first, *last + 1, Number(text.substr(slash + 1))};
  if (!range.total && text.substr(slash + 1) != "*") return std::nullopt;
  if (range.total && *range.total < range.end) return std::nullopt;
  return range;
}

struct Block {
  std::uint32_t address, mask;
};
// IANA IPv4 Special-Purpose Address Registry: what is of one machine or one network, and what is
// no host: "this network", private, shared, loopback, link-local, protocol assignments, multicast,
// reserved.
constexpr auto kLocalBlocks = std::to_array<Block>({{0x00000000, 0xff000000},
                                                    {0x0a000000, 0xff000000},
                                                    {0x64400000, 0xffc00000},
                                                    {0x7f000000, 0xff000000},
                                                    {0xa9fe0000, 0xffff0000},
                                                    {0xac100000, 0xfff00000},
                                                    {0xc0000000, 0xffffff00},
                                                    {0xc0a80000, 0xffff0000},
                                                    {0xe0000000, 0xe0000000}});

bool IsPublic4(std::uint32_t address) {
  return std::none_of(kLocalBlocks.begin(), kLocalBlocks.end(),
                      [&](const Block& block) { return (address & block.mask) == block.address; });
}

std::uint32_t Big32(const unsigned char* at) {
  return std::uint32_t{at[0]} << 24 | std::uint32_t{at[1]} << 16 | std::uint32_t{at[2]} << 8 |
         std::uint32_t{at[3]};
}

bool IsPublic6(const std::array<unsigned char, 16>& bytes) {
  constexpr std::array<unsigned char, 12> kMapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  constexpr std::array<unsigned char, 12> kNat64 = {0, 0x64, 0xff, 0x9b};
  for (const auto& prefix : {kMapped, kNat64}) {
    if (std::equal(prefix.begin(), prefix.end(), bytes.begin()))
      return IsPublic4(Big32(bytes.data() + 12));
  }
  if (bytes[0] == 0x20 && bytes[1] == 0x02) return IsPublic4(Big32(bytes.data() + 2));  // 6to4
  return (bytes[0] & 0xe0) == 0x20;  // 2000::/3, the global unicast addresses
}

}  // namespace

void ResponseHead::Take(std::string_view line) {
  if (line.starts_with("HTTP/")) {
    *this = {};
    const std::size_t space = line.find(' ');
    if (space != std::string_view::npos)
      status = static_cast<int>(Number(line.substr(space + 1, 3)).value_or(0));
    return;
  }
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return;
  std::string name(line.substr(0, colon));
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const std::string_view value = Trimmed(line.substr(colon + 1));
  if (name == "content-length") length = Number(value);
  if (name == "content-range") range = RangeOf(value);
  if (name == "content-range" && value.starts_with("bytes */"))
    total_of_416 = Number(value.substr(8));
  if (name == "etag") {
    tag = value;
    strong_tag = value.size() > 2 && value.front() == '"' && value.back() == '"';
  }
  if (name == "last-modified" && tag.empty()) tag = value;
  if (name == "content-encoding") coded = !value.empty() && value != "identity";
  if (name == "content-type") multipart = value.starts_with("multipart/byteranges");
  if (name == "retry-after") {
    const auto seconds = Number(value);
    if (seconds) retry_after = static_cast<unsigned>(std::min<std::uint64_t>(*seconds, 86400));
  }
  if (name == "x-amz-bucket-region") region = value.substr(0, 32);
}

bool IsPublicAddress(const std::string& text) noexcept {
  in_addr four{};
  if (::inet_pton(AF_INET, text.c_str(), &four) == 1) return IsPublic4(ntohl(four.s_addr));
  in6_addr six{};
  if (::inet_pton(AF_INET6, text.c_str(), &six) != 1) return false;
  std::array<unsigned char, 16> bytes{};
  std::memcpy(bytes.data(), &six, bytes.size());
  return IsPublic6(bytes);
}

std::string WhyNotFollow(const std::string& from, const std::string& to) {
  const bool secure = to.starts_with("https://");
  if (!secure && !to.starts_with("http://")) return "to an address that is not of the web";
  if (!secure && from.starts_with("https://")) return "from https to plain http";
  const std::size_t host = to.find("://") + 3;
  if (to.substr(host, to.find_first_of("/?#", host) - host).find('@') != std::string::npos)
    return "to an address with a user name in it";
  return {};
}

}  // namespace ckpt::formats
