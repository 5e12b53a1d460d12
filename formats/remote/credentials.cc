#include "formats/remote/credentials.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <sstream>

#include "formats/encoding/blanks.h"

namespace ckpt::formats {
namespace {

namespace fs = std::filesystem;

constexpr std::array<const char*, 10> kSecrets = {
    "AWS_ACCESS_KEY_ID",         "AWS_SECRET_ACCESS_KEY",      "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",        "GS_ACCESS_KEY_ID",           "GS_SECRET_ACCESS_KEY",
    "GOOGLE_OAUTH_ACCESS_TOKEN", "CLOUDSDK_AUTH_ACCESS_TOKEN", "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN"};

// The first of the variables that is set and not empty.
std::string Variable(std::initializer_list<const char*> names) {
  for (const char* name : names) {
    const char* value = std::getenv(name);
    if (value != nullptr && *value != '\0') return value;
  }
  return {};
}

fs::path InHome(const char* below) { return fs::path(Variable({"HOME"})) / below; }

// At most 1 MiB of a regular file; empty where it cannot be read.
std::string TextOf(const fs::path& path) {
  constexpr std::uintmax_t kMostBytes = std::uintmax_t{1} << 20;
  std::error_code failed;
  if (!fs::is_regular_file(path, failed) || fs::file_size(path, failed) > kMostBytes || failed)
    return {};
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

fs::path PathOr(const char* variable, const char* below_home) {
  const std::string named = Variable({variable});
  return named.empty() ? InHome(below_home) : fs::path(named);
}

std::optional<StoreKey> KeyIn(const std::string& text, const std::string& section) {
  const auto id = IniValue(text, section, "aws_access_key_id");
  const auto secret = IniValue(text, section, "aws_secret_access_key");
  if (!id || !secret) return std::nullopt;
  return StoreKey{*id, *secret, IniValue(text, section, "aws_session_token").value_or("")};
}

void ReadAmazon(FetchCredentials& found) {
  const std::string id = Variable({"AWS_ACCESS_KEY_ID"});
  const std::string secret = Variable({"AWS_SECRET_ACCESS_KEY"});
  if (!id.empty() && !secret.empty())
    found.aws = StoreKey{id, secret, Variable({"AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN"})};
  std::string profile = Variable({"AWS_PROFILE", "AWS_DEFAULT_PROFILE"});
  if (profile.empty()) profile = "default";
  const std::string config = TextOf(PathOr("AWS_CONFIG_FILE", ".aws/config"));
  const std::string section = profile == "default" ? profile : "profile " + profile;
  if (!found.aws)
    found.aws = KeyIn(TextOf(PathOr("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials")), profile);
  if (!found.aws) found.aws = KeyIn(config, section);
  found.aws_region = Variable({"AWS_REGION", "AWS_DEFAULT_REGION"});
  if (found.aws_region.empty()) found.aws_region = IniValue(config, section, "region").value_or("");
  found.aws_endpoint = Variable({"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"});
  found.aws_ca_file = Variable({"AWS_CA_BUNDLE"});
}

void ReadGoogle(FetchCredentials& found) {
  const std::string id = Variable({"GS_ACCESS_KEY_ID"});
  const std::string secret = Variable({"GS_SECRET_ACCESS_KEY"});
  if (!id.empty() && !secret.empty()) found.gs = StoreKey{id, secret};
  found.gs_token = Variable({"GOOGLE_OAUTH_ACCESS_TOKEN", "CLOUDSDK_AUTH_ACCESS_TOKEN"});
  found.gs_endpoint = Variable({"STORAGE_EMULATOR_HOST"});
  if (!found.gs_endpoint.empty() && found.gs_endpoint.find("://") == std::string::npos)
    found.gs_endpoint = "http://" + found.gs_endpoint;
}

void ReadHub(FetchCredentials& found) {
  found.hf_token = Variable({"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"});
  if (found.hf_token.empty()) {
    const std::string home = Variable({"HF_HOME"});
    const fs::path usual =
        home.empty() ? InHome(".cache/huggingface/token") : fs::path(home) / "token";
    const std::string named = Variable({"HF_TOKEN_PATH"});
    found.hf_token = std::string(Trimmed(TextOf(named.empty() ? usual : fs::path(named))));
  }
  found.hf_endpoint = Variable({"HF_ENDPOINT"});
}

}  // namespace

std::optional<std::string> IniValue(const std::string& text, const std::string& section,
                                    const std::string& key) {
  std::istringstream lines(text);
  bool inside = false;
  for (std::string line; std::getline(lines, line);) {
    const std::string_view trimmed = Trimmed(line);
    if (trimmed.starts_with('[')) {
      inside = Trimmed(trimmed.substr(1, trimmed.find(']') - 1)) == section;
      continue;
    }
    const std::size_t equals = trimmed.find('=');
    // An indented line belongs to the setting above it.
    if (!inside || equals == std::string::npos || trimmed.starts_with('#') ||
        IsBlank(line.front())) {
      continue;
    }
    if (Trimmed(trimmed.substr(0, equals)) == key)
      return std::string(Trimmed(trimmed.substr(equals + 1)));
  }
  return std::nullopt;
}

FetchCredentials ReadCredentials() {
  FetchCredentials found;
  ReadAmazon(found);
  ReadGoogle(found);
  ReadHub(found);
  found.ca_file = Variable({"SSL_CERT_FILE", "CURL_CA_BUNDLE"});
  return found;
}

void ForgetCredentials() noexcept {
  for (const char* name : kSecrets) {
    char* value = std::getenv(name);
    if (value == nullptr) continue;
    std::memset(value, 'x', std::strlen(value));
    ::unsetenv(name);
  }
}

}  // namespace ckpt::formats
