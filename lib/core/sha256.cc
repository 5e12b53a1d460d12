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

struct Sha256Stream::Context {
  std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> state{EVP_MD_CTX_new(), EVP_MD_CTX_free};
  bool ok = false;
};

Sha256Stream::Sha256Stream() : context_(std::make_unique<Context>()) {
  EVP_MD_CTX* state = context_->state.get();
  context_->ok = state != nullptr && EVP_DigestInit_ex(state, EVP_sha256(), nullptr) == 1;
}
Sha256Stream::~Sha256Stream() = default;

void Sha256Stream::Add(std::span<const std::byte> bytes) {
  context_->ok =
      context_->ok && EVP_DigestUpdate(context_->state.get(), bytes.data(), bytes.size()) == 1;
}

std::string Sha256Stream::Finish() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  if (!context_->ok || EVP_DigestFinal_ex(context_->state.get(), digest.data(), &size) != 1)
    return {};
  context_->ok = false;
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
