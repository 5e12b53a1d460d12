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
class Sha256Stream {
 public:
  Sha256Stream();
  ~Sha256Stream();
  Sha256Stream(const Sha256Stream&) = delete;
  Sha256Stream& operator=(const Sha256Stream&) = delete;

  void Add(std::span<const std::byte> bytes);
  // As Sha256() of all of them. Nothing can be added afterwards.
  std::string Finish();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

std::string InHexadecimal(std::span<const unsigned char> bytes);

}  // namespace ckpt
