// Where the bytes of a remote address are had by HTTP, and what is shown to get them.
#pragma once

#include <string>

#include "ckpt/result.h"
#include "formats/remote/address.h"
#include "formats/remote/credentials.h"

namespace ckpt::formats {

enum class FetchAuth : std::uint8_t { kNone, kBasic, kBearer, kSignature4 };

struct FetchTarget {
  std::string url = {};  // with its query; without user name and password
  FetchAuth auth = FetchAuth::kNone;
  std::string user = {};    // kBasic: name:password, decoded; kSignature4: id:secret
  std::string token = {};   // kBearer; kSignature4: of the session, may be empty
  std::string region = {};  // kSignature4
  std::string ca_file = {};
  bool this_machine_only = false;  // plain HTTP that the user did not give as an endpoint
};

// kInvalidArgument for plain HTTP to another machine, and for an endpoint that is no URL.
Result<FetchTarget> TargetOf(const RemoteAddress& address, const FetchCredentials& credentials);

// "https://host:8443" of a URL: what must not change where a credential is shown.
std::string OriginOf(const std::string& url);

}  // namespace ckpt::formats
