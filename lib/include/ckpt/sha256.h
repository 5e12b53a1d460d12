// SHA-256, by libcrypto.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace ckpt {

// In 64 lower-case hexadecimal digits; empty where libcrypto fails.
std::string Sha256(std::span<const std::byte> bytes);
std::string Sha256(std::string_view text);

// Of bytes that come in pieces.
class Sha256Digest {
 public:
  Sha256Digest();
  ~Sha256Digest();
  Sha256Digest(const Sha256Digest&) = delete;
  Sha256Digest& operator=(const Sha256Digest&) = delete;

  void Update(std::span<const std::byte> bytes);
  void Update(std::string_view text);
  // In 64 digits as above; empty where libcrypto failed at any time.
  std::string Finish() &&;

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

std::string InHexadecimal(std::span<const unsigned char> bytes);

}  // namespace ckpt
