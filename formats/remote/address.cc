#include "formats/remote/address.h"

#include <algorithm>
#include <array>
#include <cctype>

namespace ckpt::formats {
namespace {

constexpr auto kSchemes =
    std::to_array<std::string_view>({"https://", "http://", "s3://", "gs://", "hf://"});
constexpr std::size_t kMaxUrlBytes = 16384;

tl::unexpected<Error> Invalid(const RemoteAddress& address, std::string message) {
  return Fail(Error{ErrorCode::kInvalidArgument, std::move(message)}.In(ShownName(address)));
}

bool IsGraphic(char c) { return c > ' ' && c != '\x7f'; }  // UTF-8 has negative ones
bool IsHostByte(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '.' || c == ':' ||
         c == '[' || c == ']' || c == '_';
}

// "org/repo@revision" of "org/repo@revision/folder/file"; refs/pr/1 is one revision.
std::size_t EndOfRepository(std::string_view rest) {
  const bool typed = rest.starts_with("datasets/") || rest.starts_with("spaces/");
  const std::size_t slash = rest.find('/', typed ? rest.find('/') + 1 : 0);
  if (slash == std::string_view::npos) return rest.size();
  std::size_t end = std::min(rest.find('/', slash + 1), rest.size());
  const std::size_t at = rest.substr(0, end).find('@', slash);
  if (at == std::string_view::npos) return end;
  for (const std::string_view refs : {"refs/pr/", "refs/convert/"}) {
    if (rest.substr(at + 1).starts_with(refs))
      end = std::min(rest.find('/', at + 1 + refs.size()), rest.size());
  }
  return end;
}

// The host with what surrounds it: [user@]host[/path][?query][#fragment].
void SplitWeb(std::string_view rest, RemoteAddress& address) {
  rest = rest.substr(0, rest.find('#'));
  const std::size_t question = rest.find('?');
  if (question != std::string_view::npos) address.query = rest.substr(question + 1);
  rest = rest.substr(0, question);
  const std::size_t slash = std::min(rest.find('/'), rest.size());
  std::string_view host = rest.substr(0, slash);
  if (const std::size_t at = host.rfind('@'); at != std::string_view::npos) {
    address.user = host.substr(0, at);
    host = host.substr(at + 1);
  }
  address.authority = host;
  address.path = rest.substr(slash);
}

void SplitStore(std::string_view rest, RemoteAddress& address) {
  const std::size_t end =
      address.scheme == "hf" ? EndOfRepository(rest) : std::min(rest.find('/'), rest.size());
  address.authority = rest.substr(0, end);
  address.path = rest.substr(end);
}

}  // namespace

bool IsRemoteName(std::string_view text) noexcept {
  return std::any_of(kSchemes.begin(), kSchemes.end(),
                     [&](std::string_view scheme) { return text.starts_with(scheme); });
}

std::optional<std::size_t> FindRemoteName(std::string_view argument) noexcept {
  if (IsRemoteName(argument)) return 0;
  const std::size_t mark = argument.find_first_of("=:");
  if (mark == std::string_view::npos || !IsRemoteName(argument.substr(mark + 1)))
    return std::nullopt;
  return mark + 1;
}

Result<RemoteAddress> ParseRemote(std::string_view url) {
  RemoteAddress address;
  const std::size_t mark = url.find("://");
  if (!IsRemoteName(url)) return Fail(ErrorCode::kInvalidArgument, "no URL of a known scheme");
  address.scheme = url.substr(0, mark);
  const std::string_view rest = url.substr(mark + 3);
  const bool web = address.scheme == "https" || address.scheme == "http";
  web ? SplitWeb(rest, address) : SplitStore(rest, address);
  if (url.size() > kMaxUrlBytes) return Invalid(address, "is too long for a URL");
  const bool graphic = web ? std::all_of(url.begin(), url.end(), IsGraphic)
                           : std::none_of(url.begin(), url.end(), [](char c) {
                               return std::iscntrl(static_cast<unsigned char>(c)) != 0;
                             });
  if (!graphic) return Invalid(address, "has a blank or a control character, which no URL has");
  const std::string& host = address.authority;
  if (host.empty() || (web && !std::all_of(host.begin(), host.end(), IsHostByte)))
    return Invalid(address, "names no host");
  if (address.scheme == "hf" && host.find('/') == std::string::npos)
    return Invalid(address, "names no repository; it is hf://org/repo/file");
  if (address.path.size() < 2)
    return Invalid(address, "names no file: a folder of a server cannot be listed here");
  return address;
}

std::string ShownName(const RemoteAddress& address) {
  return address.scheme + "://" + address.authority + address.path;
}

std::string PercentEncoded(std::string_view text, std::string_view kept) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (byte < 0x80 && std::isalnum(byte) != 0) || c == '-' || c == '.' ||
                       c == '_' || c == '~' || kept.find(c) != std::string_view::npos;
    if (plain) {
      out += c;
    } else {
      out += {'%', kDigits[byte >> 4], kDigits[byte & 15]};
    }
  }
  return out;
}

}  // namespace ckpt::formats
