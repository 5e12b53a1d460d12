#include "execution/kernel_view.h"

#include <algorithm>

#include "execution/kernels.h"
#include "execution/strided.h"

namespace ckpt::execution {
namespace {

// Sets the strides of groups and channels; `first` and `second` are the two axes that are not
// spatial, in their order.
void SetStrides(KernelView& view, KernelLayout layout, std::int64_t second_size, std::int64_t first,
                std::int64_t second) {
  switch (layout) {
    case KernelLayout::kSpatialInOut:  // [K..., I/G, O]
      view.in = first;
      view.out = second;
      view.group = view.outs * second;
      return;
    case KernelLayout::kSpatialOutIn:  // [K..., O/G, I]
      view.out = first;
      view.in = second;
      view.group = view.ins * second;
      return;
    case KernelLayout::kSpatialInMultiplier:  // [K..., I, M], a group for each I
      view.in = first;
      view.out = second;
      view.group = first;
      return;
    case KernelLayout::kOutInSpatial:  // [O, I/G, K...]
      view.out = first;
      view.in = second;
      view.group = view.outs * first;
      return;
    case KernelLayout::kInOutSpatial:  // [I, O/G, K...]
      view.in = first;
      view.out = second;
      view.group = view.ins * first;
      return;
  }
  static_cast<void>(second_size);
}

}  // namespace

Result<KernelView> ViewOf(const Array& kernel, KernelLayout layout, std::int64_t groups,
                          std::int64_t channels, bool flipped) {
  const bool spatial_first =
      layout != KernelLayout::kOutInSpatial && layout != KernelLayout::kInOutSpatial;
  const std::size_t spatial = kernel.shape.size() - 2, at = spatial_first ? spatial : 0;
  const Sizes strides = StridesOf(kernel.shape);
  const std::int64_t first = kernel.shape[at], second = kernel.shape[at + 1];
  const bool depthwise = layout == KernelLayout::kSpatialInMultiplier;
  const bool in_first =
      layout != KernelLayout::kSpatialOutIn && layout != KernelLayout::kOutInSpatial;
  KernelView view;
  view.base = kernel.elements.data();
  view.groups = depthwise ? channels : groups;
  // Which of the two axes counts the channels of one group only.
  const bool in_is_whole =
      layout == KernelLayout::kSpatialOutIn || layout == KernelLayout::kInOutSpatial;
  view.ins = in_first ? first : second;
  view.outs = in_first ? second : first;
  std::int64_t& whole = in_is_whole ? view.ins : view.outs;
  if (depthwise) {
    view.ins = 1;
  } else if (view.groups < 1 || whole % view.groups != 0) {
    return Contradicts(std::to_string(whole) + " channels in " + std::to_string(view.groups) +
                       " groups");
  } else {
    whole /= view.groups;
  }
  if (view.groups * view.ins != channels) {
    return Contradicts("a kernel for " + std::to_string(view.ins) +
                       " channels a group, and data of " + std::to_string(channels));
  }
  SetStrides(view, layout, second, strides[at], strides[at + 1]);
  const std::size_t from = spatial_first ? 0 : 2;
  const auto begin = static_cast<std::ptrdiff_t>(from);
  const auto end = begin + static_cast<std::ptrdiff_t>(spatial);
  view.size = Sizes(kernel.shape.begin() + begin, kernel.shape.begin() + end);
  const Sizes tap_strides(strides.begin() + begin, strides.begin() + end);
  Counter taps(view.size);
  do {
    view.tap_offsets.push_back(OffsetOf(taps.index(), tap_strides));
  } while (taps.Next());
  if (flipped) std::reverse(view.tap_offsets.begin(), view.tap_offsets.end());
  if (!flipped) view.tap = spatial == 0 ? 1 : tap_strides.back();
  return view;
}

KernelView TapsFirst(const KernelView& view, std::vector<double>& storage) {
  const auto taps = static_cast<std::int64_t>(view.tap_offsets.size());
  storage.resize(Index(view.groups * taps * view.ins * view.outs));
  KernelView copy = view;
  copy.base = storage.data();
  copy.out = 1;
  copy.in = view.outs;
  copy.tap = view.ins * view.outs;
  copy.group = taps * copy.tap;
  for (std::int64_t g = 0; g < view.groups; ++g) {
    for (std::int64_t t = 0; t < taps; ++t) {
      copy.tap_offsets[Index(t)] = t * copy.tap;
      CopyStrided({view.ins, view.outs}, view.base + g * view.group + view.tap_offsets[Index(t)],
                  {view.in, view.out}, storage.data() + g * copy.group + t * copy.tap,
                  {copy.in, 1});
    }
  }
  return copy;
}

}  // namespace ckpt::execution
