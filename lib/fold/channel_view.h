// Which channel each element of a kernel belongs to, for every layout and both channel axes.
//
// Layouts: PyTorch and ONNX operator definitions (Conv, ConvTranspose, Linear); Keras and
// TensorFlow convolutions, conv2d_transpose and depthwise_conv2d.
#pragma once

#include <cstdint>

#include "ckpt/fold.h"
#include "ckpt/shape.h"

namespace ckpt {

// The largest count of channels that a fold keeps vectors for.
inline constexpr std::uint64_t kMaxChannels = std::uint64_t{1} << 24;

struct KernelViews {
  ChannelView out, in;
  std::uint64_t out_channels = 0, in_channels = 0;
  std::uint64_t terms = 0;       // products that one output sums, at most
  bool one_spatial_tap = false;  // dense, or every spatial axis has one element
};

// Fails with kUnfit and a reason where shape, layout and groups do not make a kernel.
Result<KernelViews> ViewsOf(const Shape& shape, KernelLayout layout, std::int64_t groups);

// Walks the elements of a kernel in C order: ChannelOf() without its divisions.
class ChannelCursor {
 public:
  explicit ChannelCursor(const ChannelView& view) noexcept : view_(view) {}

  std::uint64_t channel() const noexcept { return group_start_ + within_group_; }

  void Next() noexcept {
    ++column_;
    if (column_ < view_.inner) {
      if (view_.inner_per_group != 0 && column_ % view_.inner_per_group == 0) {
        group_start_ += view_.channels_per_group;
      }
      return;
    }
    column_ = 0;
    if (view_.inner_per_group != 0) group_start_ = 0;
    if (++within_group_ < view_.channels_per_group) return;
    within_group_ = 0;
    if (view_.rows_per_group != 0 && ++row_ == view_.rows_per_group) {
      row_ = 0;
      group_start_ += view_.channels_per_group;
    }
  }

 private:
  ChannelView view_;
  std::uint64_t column_ = 0, within_group_ = 0, row_ = 0, group_start_ = 0;
};

}  // namespace ckpt
