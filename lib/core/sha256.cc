#include "ckpt/sha256.h"

#include <openssl/evp.h>

#include <array>

namespace ckpt {

std::string Sha256(std::span<const std::byte> bytes) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  if (EVP_Digest(bytes.data(), bytes.size(), digest.data(), &size, EVP_sha256(), nullptr) != 1)
    return {};
  return InHexadecimal(std::span(digest).first(size));
}

std::string Sha256(std::string_view text) { return Sha256(std::as_bytes(std::span(text))); }

struct Sha256Digest::Context {
  std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> digest{EVP_MD_CTX_new(), EVP_MD_CTX_free};
  bool ok = digest != nullptr && EVP_DigestInit_ex(digest.get(), EVP_sha256(), nullptr) == 1;
};

Sha256Digest::Sha256Digest() : context_(std::make_unique<Context>()) {}
Sha256Digest::~Sha256Digest() = default;

void Sha256Digest::Update(std::span<const std::byte> bytes) {
  context_->ok =
      context_->ok && EVP_DigestUpdate(context_->digest.get(), bytes.data(), bytes.size()) == 1;
}
void Sha256Digest::Update(std::string_view text) { Update(std::as_bytes(std::span(text))); }

std::string Sha256Digest::Finish() && {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  if (!context_->ok || EVP_DigestFinal_ex(context_->digest.get(), digest.data(), &size) != 1)
    return {};
  return InHexadecimal(std::span(digest).first(size));
}

std::string InHexadecimal(std::span<const unsigned char> bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (const unsigned char byte : bytes) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

}  // namespace ckpt
