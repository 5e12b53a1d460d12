// URLs that stand for input files: what they say, and how they are shown.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "ckpt/result.h"

namespace ckpt::formats {

struct RemoteAddress {
  std::string scheme;     // "https", "http", "s3", "gs" or "hf"
  std::string authority;  // "host:8443"; a bucket; "org/repo@revision"
  std::string path;  // "/folder/model.safetensors"; of https as it is sent, else the key itself
  std::string user = {};   // "name:password" of https, as in the URL
  std::string query = {};  // of https, behind the question mark
};

// Does the text begin as such a URL does? Nothing else is ever taken for one.
bool IsRemoteName(std::string_view text) noexcept;
// Where in an argument such as "--since=https://..." or "images=s3://..." a URL begins.
std::optional<std::size_t> FindRemoteName(std::string_view argument) noexcept;

// kInvalidArgument, without the user's secrets in it, where the URL has no host, bucket,
// repository or path, or bytes that no URL has.
Result<RemoteAddress> ParseRemote(std::string_view url);

// What stands for it in all reports: the URL without user, password, query and fragment.
std::string ShownName(const RemoteAddress& address);

// All but "A-Z a-z 0-9 - . _ ~" and what is in `kept` as %XX.
std::string PercentEncoded(std::string_view text, std::string_view kept = "/");

}  // namespace ckpt::formats
