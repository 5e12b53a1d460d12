// A tensor's elements as doubles, in bounded pieces, and the factors that a fold puts on them.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "ckpt/checkpoint.h"
#include "fold/channel_view.h"

namespace ckpt {

// REQUIRES: IsReal(dtype of the tensor).
class ElementStream {
 public:
  static Result<ElementStream> Open(const Checkpoint& checkpoint, TensorId id);

  // The next elements, at most kPiece of them; empty at the end. Valid until the next call. Fails
  // with kCorrupt where the tensor yields more or fewer elements than its shape says.
  Result<std::span<double>> Next();

  // Stays in the first cache with the bytes that it comes from and becomes.
  static constexpr std::size_t kPiece = 2048;

 private:
  ElementStream(const TensorInfo& info, std::unique_ptr<TensorStream> stream);

  const TensorInfo* info_;
  std::unique_ptr<TensorStream> stream_;
  std::span<const std::byte> pending_ = {};
  std::uint64_t left_;  // elements
  std::vector<double> piece_;
};

// Multiplies consecutive pieces of a kernel by a factor per channel.
class ChannelScaler {
 public:
  // `factors` must outlive the scaler; empty: none.
  ChannelScaler(const ChannelView& view, std::span<const double> factors)
      : cursor_(view), factors_(factors) {}
  void Scale(std::span<double> elements);

 private:
  ChannelCursor cursor_;
  std::span<const double> factors_;
};

}  // namespace ckpt
