#include "serving/wrapped_convolution.h"

#include <algorithm>
#include <optional>
#include <variant>

namespace ckpt {
namespace {

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
  return blocks.before.size() == blocks.block.size() &&
         blocks.after.size() == blocks.block.size() &&
         std::all_of(blocks.before.begin(), blocks.before.end(), sane) &&
         std::all_of(blocks.after.begin(), blocks.after.end(), sane);
}

}  // namespace

void DropSpatialAxis(std::size_t axis, network::Computation& computation) {
  const auto drop = [&](auto& convolution) {
    for (Sizes* list : {&convolution.stride, &convolution.dilation, &convolution.padding.before,
                        &convolution.padding.after}) {
      Drop(axis, *list);
    }
  };
  if (auto* forward = std::get_if<network::Convolution>(&computation)) {
    drop(*forward);
  } else if (auto* back = std::get_if<network::TransposedConvolution>(&computation)) {
    drop(*back);
    Drop(axis, back->given);
  }
}

void Dilate(const network::Computation& apart, const network::Computation& together,
            network::Computation& computation) {
  auto* const convolution = std::get_if<network::Convolution>(&computation);
  if (convolution == nullptr) return;
  const auto* first = std::get_if<SpaceAndBatch>(&apart);
  const auto* last = std::get_if<SpaceAndBatch>(&together);
  const network::Padding inside = convolution->padding;
  convolution->padding = {network::PaddingRule::kExplicit, {1}, {1}};
  const bool known = first != nullptr && last != nullptr && first->block == last->block &&
                     IsComplete(*first) && IsComplete(*last) && convolution->channel_axis == -1;
  if (!known) return;
  convolution->dilation = first->block;
  const bool of_parts = inside == network::Padding{};
  if (const auto left = Remaining(*first, *last); left && of_parts) convolution->padding = *left;
}

}  // namespace ckpt
