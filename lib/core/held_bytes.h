// The bytes of one tensor, held in memory.
#pragma once

#include <utility>
#include <vector>

#include "ckpt/tensor.h"

namespace ckpt {

class HeldBytes : public TensorStream {
 public:
  explicit HeldBytes(std::vector<std::byte> bytes) : bytes_(std::move(bytes)) {}
  Result<std::span<const std::byte>> Next() override {
    if (std::exchange(given_, true)) return std::span<const std::byte>();
    return std::span<const std::byte>(bytes_);
  }

 private:
  std::vector<std::byte> bytes_;
  bool given_ = false;
};

}  // namespace ckpt
