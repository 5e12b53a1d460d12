#include "layers/wrapped_convolution.h"

#include <algorithm>
#include <optional>
#include <variant>

namespace ckpt {
namespace {

using network::Computation;
using network::Sizes;
using network::SpaceAndBatch;

void Drop(std::size_t axis, Sizes& list) {
  if (axis < list.size()) list.erase(list.begin() + static_cast<std::ptrdiff_t>(axis));
}

// What is left of the padding of the parts when the cropping has taken its share; nothing where it
// takes more than there is.
std::optional<network::Padding> Remaining(const SpaceAndBatch& apart,
                                          const SpaceAndBatch& together) {
  const std::size_t count = apart.block.size();
  network::Padding padding;
  for (std::size_t i = 0; i < count; ++i) {
    padding.before.push_back(apart.before[i] - together.before[i]);
    padding.after.push_back(apart.after[i] - together.after[i]);
  }
  const auto negative = [](std::int64_t amount) { return amount < 0; };
  if (std::any_of(padding.before.begin(), padding.before.end(), negative) ||
      std::any_of(padding.after.begin(), padding.after.end(), negative)) {
    return std::nullopt;
  }
  return padding;
}

bool IsComplete(const SpaceAndBatch& blocks) {
  constexpr std::int64_t kLargest = std::int64_t{1} << 40;
  const auto sane = [](std::int64_t amount) { return amount >= 0 && amount <= kLargest; };
  return !blocks.block.empty() && blocks.before.size() == blocks.block.size() &&
         blocks.after.size() == blocks.block.size() &&
         std::all_of(blocks.before.begin(), blocks.before.end(), sane) &&
         std::all_of(blocks.after.begin(), blocks.after.end(), sane);
}

// Do zeros lie along the axis? Of a "same" rule they do beside one element, unless the window is
// one.
bool PadsAlong(const network::Padding& padding, std::size_t axis, std::int64_t window) {
  if (padding.rule != network::PaddingRule::kExplicit) return window != 1;
  const auto some = [&](const Sizes& list) { return axis < list.size() && list[axis] != 0; };
  return some(padding.before) || some(padding.after);
}

// Without spatial axis `axis`, the first being 0, along which the kernel has `window` elements.
void DropSpatialAxis(std::size_t axis, std::int64_t window, Computation& computation) {
  const auto drop = [&](auto& convolution) {
    for (Sizes* list : {&convolution.stride, &convolution.dilation, &convolution.padding.before,
                        &convolution.padding.after}) {
      Drop(axis, *list);
    }
  };
  if (auto* forward = std::get_if<network::Convolution>(&computation)) {
    const bool pads = PadsAlong(forward->padding, axis, window);
    drop(*forward);
    // Zeros along an axis that is no more: some pad.
    if (pads) forward->padding = {network::PaddingRule::kExplicit, {1}, {1}};
  } else if (auto* back = std::get_if<network::TransposedConvolution>(&computation)) {
    drop(*back);
    Drop(axis, back->given);
  }
}

// The spatial axis that axis `axis` of data with so many of them is; absent: it is none.
std::optional<std::size_t> SpatialAxis(std::int64_t axis, std::int64_t spatial,
                                       std::int64_t channel_axis) {
  const std::int64_t from_front = axis < 0 ? axis + spatial + 2 : axis;
  const std::int64_t place = from_front - (channel_axis == 1 ? 2 : 1);
  if (place < 0 || place >= spatial) return std::nullopt;
  return static_cast<std::size_t>(place);
}

std::optional<std::int64_t> ChannelAxis(const Computation& computation) {
  if (const auto* forward = std::get_if<network::Convolution>(&computation)) {
    return forward->channel_axis;
  }
  const auto* back = std::get_if<network::TransposedConvolution>(&computation);
  return back == nullptr ? std::nullopt : std::optional(back->channel_axis);
}

bool TakeAxis(const network::InsertAxes& inserted, const network::DropAxes& dropped, Sizes& window,
              Computation& convolution) {
  const auto channels = ChannelAxis(convolution);
  if (inserted.axes.size() != 1 || dropped.axes.size() != 1 || !channels) return false;
  const auto of = static_cast<std::int64_t>(window.size());
  const auto axis = SpatialAxis(inserted.axes[0], of, *channels);
  if (!axis || SpatialAxis(dropped.axes[0], of, *channels) != axis) return false;
  DropSpatialAxis(*axis, window[*axis], convolution);
  Drop(*axis, window);
  return true;
}

void Dilate(const SpaceAndBatch& apart, const SpaceAndBatch& together,
            network::Convolution& convolution) {
  const network::Padding inside = convolution.padding;
  convolution.padding = {network::PaddingRule::kExplicit, {1}, {1}};
  const bool known = apart.block == together.block && IsComplete(apart) && IsComplete(together) &&
                     convolution.channel_axis == -1;
  if (!known) return;
  convolution.dilation = apart.block;
  const bool of_parts = inside == network::Padding{};
  if (const auto left = Remaining(apart, together); left && of_parts) convolution.padding = *left;
}

}  // namespace

bool Unwrap(const Computation& before, const Computation& after, Sizes& window,
            Computation& convolution) {
  const auto* inserted = std::get_if<network::InsertAxes>(&before);
  const auto* dropped = std::get_if<network::DropAxes>(&after);
  if (inserted != nullptr && dropped != nullptr) {
    return TakeAxis(*inserted, *dropped, window, convolution);
  }
  const auto* apart = std::get_if<SpaceAndBatch>(&before);
  const auto* together = std::get_if<SpaceAndBatch>(&after);
  auto* const forward = std::get_if<network::Convolution>(&convolution);
  if (apart == nullptr || together == nullptr || forward == nullptr || apart->to_space ||
      !together->to_space) {
    return false;
  }
  Dilate(*apart, *together, *forward);
  return true;
}

}  // namespace ckpt
