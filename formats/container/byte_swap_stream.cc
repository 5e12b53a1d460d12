#include "formats/container/byte_swap_stream.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace ckpt::formats {
namespace {

class SwapStream : public TensorStream {
 public:
  SwapStream(std::unique_ptr<TensorStream> raw, std::size_t unit)
      : raw_(std::move(raw)), unit_(unit) {}

  Result<std::span<const std::byte>> Next() override {
    CKPT_ASSIGN_OR_RETURN(const auto chunk, raw_->Next());
    swapped_.assign(chunk.begin(), chunk.end());
    for (std::size_t at = 0; at + unit_ <= swapped_.size(); at += unit_) {
      std::reverse(swapped_.begin() + static_cast<std::ptrdiff_t>(at),
                   swapped_.begin() + static_cast<std::ptrdiff_t>(at + unit_));
    }
    return std::span<const std::byte>(swapped_);
  }

 private:
  std::unique_ptr<TensorStream> raw_;
  std::size_t unit_;
  std::vector<std::byte> swapped_;
};

}  // namespace

std::unique_ptr<TensorStream> SwapBytes(std::unique_ptr<TensorStream> raw, std::size_t unit_bytes) {
  return std::make_unique<SwapStream>(std::move(raw), unit_bytes);
}

}  // namespace ckpt::formats
