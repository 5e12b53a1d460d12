// How many channels a flatten before a dense layer lays side by side.
#pragma once

#include <cstdint>
#include <optional>

#include "ckpt/checkpoint.h"

namespace ckpt {

// Channels-last frameworks flatten [H, W, C] to rows (h, w, c), channels-first ones [C, H, W] to
// (c, h, w). The count C for dense layer `layer` of the manifest's graph, or a layer with a value
// for each row; absent where no flatten stands before it or the rows have the other framework's
// order already. kUnfit with the reason where the graph does not settle it.
Result<std::optional<std::int64_t>> FlattenedChannels(const Manifest& manifest, LayerId layer);

// kUnfit, with the layer named, where what the dense layer yields is reshaped into an image for a
// convolution or a pooling: [H, W, C] in one framework and [C, H, W] in the other, so that its
// outputs would have to be put in another order.
Status CheckMakesNoImage(const Manifest& manifest, LayerId layer);

}  // namespace ckpt
