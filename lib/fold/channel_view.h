// Which channel each element of a kernel belongs to, for every layout and both channel axes.
//
// Layouts: PyTorch and ONNX operator definitions (Conv, ConvTranspose, Linear); Keras and
// TensorFlow convolutions, conv2d_transpose and depthwise_conv2d.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

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

  // How many elements from here on are of this channel; where one is, how many from here on are
  // of this channel, the next, and so on.
  std::uint64_t same() const noexcept {
    const std::uint64_t left = view_.inner - column_;
    if (view_.inner_per_group == 0) return left;
    return std::min(left, view_.inner_per_group - group_column_);
  }
  std::uint64_t consecutive() const noexcept {
    return view_.inner == 1 ? view_.channels_per_group - within_group_ : 1;
  }
  // REQUIRES: count is at most same(), or at most consecutive() where same() is 1.
  void Skip(std::uint64_t count) noexcept {
    if (view_.inner == 1) {
      within_group_ += count - 1;
    } else {
      column_ += count - 1;
      group_column_ += count - 1;
    }
    Next();
  }

  void Next() noexcept {
    ++column_;
    if (column_ < view_.inner) {
      if (++group_column_ == view_.inner_per_group) {
        group_column_ = 0;
        group_start_ += view_.channels_per_group;
      }
      return;
    }
    column_ = group_column_ = 0;
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
  std::uint64_t group_column_ = 0;  // column within inner_per_group
};

// Calls work(run, channel, same) for the elements in runs: all of one channel, or one of each from
// `channel` on.
template <class T, class Work>
void ForEachRun(ChannelCursor& cursor, std::span<T> elements, const Work& work) {
  while (!elements.empty()) {
    const std::uint64_t same = cursor.same();
    const std::uint64_t run =
        std::min<std::uint64_t>(elements.size(), same > 1 ? same : cursor.consecutive());
    work(elements.first(static_cast<std::size_t>(run)), cursor.channel(), same > 1);
    cursor.Skip(run);
    elements = elements.subspan(static_cast<std::size_t>(run));
  }
}

}  // namespace ckpt
