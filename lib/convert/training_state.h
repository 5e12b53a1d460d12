// Which tensors of a checkpoint serve training alone.
#pragma once

#include <optional>

#include "ckpt/convert.h"

namespace ckpt {

// Why the tensor is not written to a serving-ready file; absent where it is.
std::optional<Dropped> WhyNotServed(const Manifest& manifest, const Analysis& analysis,
                                    TensorId id);

// The tensor describes the file that it stands in, so that it is never carried over.
bool DescribesItsFile(const TensorInfo& info) noexcept;

}  // namespace ckpt
