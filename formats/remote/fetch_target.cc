#include "formats/remote/fetch_target.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>

namespace ckpt::formats {
namespace {

tl::unexpected<Error> Invalid(std::string message) {
  return Fail(ErrorCode::kInvalidArgument, std::move(message));
}

std::string Decoded(const std::string& text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned value = 0;
    const char* const digits = text.data() + i + 1;
    if (text[i] == '%' && i + 2 < text.size() &&
        std::from_chars(digits, digits + 2, value, 16).ptr == digits + 2) {
      out += static_cast<char>(value);
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

bool NamesThisMachine(const std::string& authority) {
  const bool bracketed = authority.starts_with('[');
  const std::string host = authority.substr(0, authority.find(bracketed ? ']' : ':'));
  return host == "localhost" || host.starts_with("127.") || host == "[::1";
}

Result<FetchTarget> WebTarget(const RemoteAddress& address, const FetchCredentials& credentials) {
  FetchTarget target;
  target.this_machine_only = address.scheme == "http";
  if (target.this_machine_only && !NamesThisMachine(address.authority)) {
    return Invalid(
        "plain http is read from this machine alone, as anybody on the way could change "
        "the file; use https");
  }
  target.url = ShownName(address) + (address.query.empty() ? "" : "?" + address.query);
  if (!address.user.empty()) {
    target.auth = FetchAuth::kBasic;
    target.user = Decoded(address.user);
  }
  target.ca_file = credentials.ca_file;
  return target;
}

// An endpoint that the environment gives, without a slash at its end.
Result<std::string> Endpoint(std::string given, const char* otherwise) {
  if (given.empty()) return std::string(otherwise);
  const bool web = given.starts_with("https://") || given.starts_with("http://");
  const bool plain = std::all_of(given.begin(), given.end(),
                                 [](char c) { return c > ' ' && c < '\x7f' && c != '@'; });
  if (!web || !plain || given.find_first_of("?#") != std::string::npos)
    return Invalid("the endpoint that the environment gives is no plain URL");
  while (given.ends_with('/')) given.pop_back();
  return given;
}

Status Sign(FetchTarget& target, const std::optional<StoreKey>& key, std::string region) {
  if (!key) return {};
  if (key->id.find(':') != std::string::npos)
    return Invalid("the id of the access key has a colon in it");
  target.auth = FetchAuth::kSignature4;
  target.user = key->id + ":" + key->secret;
  target.token = key->session_token;
  target.region = std::move(region);
  return {};
}

Result<FetchTarget> AmazonTarget(const RemoteAddress& address,
                                 const FetchCredentials& credentials) {
  FetchTarget target;
  const std::string region = credentials.aws_region.empty() ? "us-east-1" : credentials.aws_region;
  if (!std::all_of(region.begin(), region.end(), [](char c) {
        return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-';
      })) {
    return Invalid("AWS_REGION is the name of no region");
  }
  const std::string bucket = PercentEncoded(address.authority, "");
  const std::string key = PercentEncoded(address.path);
  if (!credentials.aws_endpoint.empty()) {
    CKPT_ASSIGN_OR_RETURN(const std::string base, Endpoint(credentials.aws_endpoint, ""));
    target.url = base + "/" + bucket + key;
  } else if (bucket.find('.') == std::string::npos) {
    target.url = "https://" + bucket + ".s3." + region + ".amazonaws.com" + key;
  } else {  // no certificate is for a name with more points
    target.url = "https://s3." + region + ".amazonaws.com/" + bucket + key;
  }
  target.ca_file = credentials.aws_ca_file.empty() ? credentials.ca_file : credentials.aws_ca_file;
  CKPT_RETURN_IF_ERROR(Sign(target, credentials.aws, region));
  return target;
}

Result<FetchTarget> GoogleTarget(const RemoteAddress& address,
                                 const FetchCredentials& credentials) {
  FetchTarget target;
  CKPT_ASSIGN_OR_RETURN(const std::string base,
                        Endpoint(credentials.gs_endpoint, "https://storage.googleapis.com"));
  target.url = base + "/" + PercentEncoded(address.authority, "") + PercentEncoded(address.path);
  target.ca_file = credentials.ca_file;
  if (credentials.gs_token.empty()) {
    CKPT_RETURN_IF_ERROR(Sign(target, credentials.gs, "auto"));
  } else {
    target.auth = FetchAuth::kBearer;
    target.token = credentials.gs_token;
  }
  return target;
}

Result<FetchTarget> HubTarget(const RemoteAddress& address, const FetchCredentials& credentials) {
  FetchTarget target;
  CKPT_ASSIGN_OR_RETURN(const std::string base,
                        Endpoint(credentials.hf_endpoint, "https://huggingface.co"));
  const std::size_t at = address.authority.find('@');
  const std::string repository = address.authority.substr(0, at);
  const std::string revision = at == std::string::npos ? "main" : address.authority.substr(at + 1);
  target.url = base + "/" + PercentEncoded(repository) + "/resolve/" +
               PercentEncoded(revision, "") + PercentEncoded(address.path);
  target.ca_file = credentials.ca_file;
  if (!credentials.hf_token.empty()) {
    target.auth = FetchAuth::kBearer;
    target.token = credentials.hf_token;
  }
  return target;
}

}  // namespace

Result<FetchTarget> TargetOf(const RemoteAddress& address, const FetchCredentials& credentials) {
  if (address.scheme == "s3") return AmazonTarget(address, credentials);
  if (address.scheme == "gs") return GoogleTarget(address, credentials);
  if (address.scheme == "hf") return HubTarget(address, credentials);
  return WebTarget(address, credentials);
}

std::string OriginOf(const std::string& url) {
  const std::size_t mark = url.find("://");
  if (mark == std::string::npos) return {};
  std::string origin = url.substr(0, url.find_first_of("/?#", mark + 3));
  std::transform(origin.begin(), origin.end(), origin.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const std::string_view usual = origin.starts_with("https:") ? ":443" : ":80";
  if (origin.ends_with(usual)) origin.resize(origin.size() - usual.size());
  return origin;
}

}  // namespace ckpt::formats
