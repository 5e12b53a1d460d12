// The base of this format's streams.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <utility>

#include "ckpt/tensor.h"

namespace ckpt::formats {

// Names the tensor in its errors, and repeats an error instead of going on after it.
class StickyStream : public TensorStream {
 public:
  explicit StickyStream(std::string tensor) : tensor_(std::move(tensor)) {}

  Result<std::span<const std::byte>> Next() final {
    if (error_) return Fail(*error_);
    auto chunk = Produce();
    if (!chunk) {
      error_ = chunk.error();
      error_->tensor = tensor_;
      return Fail(*error_);
    }
    return chunk;
  }

 protected:
  virtual Result<std::span<const std::byte>> Produce() = 0;

 private:
  std::string tensor_;
  std::optional<Error> error_;
};

}  // namespace ckpt::formats
