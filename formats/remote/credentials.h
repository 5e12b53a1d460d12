// What the child that fetches bytes shows to the hosts that the user names; read from the
// environment and the files that other tools keep it in.
#pragma once

#include <optional>
#include <string>

namespace ckpt::formats {

struct StoreKey {
  std::string id, secret;
  std::string session_token = {};
};

struct FetchCredentials {
  std::optional<StoreKey> aws = {};
  std::string aws_region = {};    // empty: nothing says
  std::string aws_endpoint = {};  // empty: Amazon's own
  std::optional<StoreKey> gs = {};
  std::string gs_token = {}, gs_endpoint = {};
  std::string hf_token = {}, hf_endpoint = {};
  std::string ca_file = {};      // empty: the system's
  std::string aws_ca_file = {};  // of aws_endpoint
};

// AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN; else AWS_PROFILE (else "default") of
// ~/.aws/credentials and ~/.aws/config. AWS_REGION, AWS_DEFAULT_REGION, AWS_ENDPOINT_URL_S3,
// AWS_ENDPOINT_URL. GS_ACCESS_KEY_ID with GS_SECRET_ACCESS_KEY (an HMAC key), or
// GOOGLE_OAUTH_ACCESS_TOKEN; STORAGE_EMULATOR_HOST. HF_TOKEN, else the file that `hf auth login`
// writes; HF_ENDPOINT. SSL_CERT_FILE, else CURL_CA_BUNDLE; AWS_CA_BUNDLE.
FetchCredentials ReadCredentials();

// Overwrites the secrets among these variables in the memory of this process, and unsets them.
void ForgetCredentials() noexcept;

// A value of a section of an INI file as the AWS tools write it; nothing where there is none.
std::optional<std::string> IniValue(const std::string& text, const std::string& section,
                                    const std::string& key);

}  // namespace ckpt::formats
