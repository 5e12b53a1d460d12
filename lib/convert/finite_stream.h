// A stream that fails where a weight holds NaN or infinity.
#pragma once

#include <memory>

#include "ckpt/tensor.h"

namespace ckpt {

// Passes the bytes of a tensor on and fails with kUnfit (CK003) at the first piece that holds NaN
// or infinity. An attention mask is let through: nothing but 0 and minus infinity. Types that hold
// neither are returned as they are. `file` is what the message names.
std::unique_ptr<TensorStream> FailWhereNotFinite(std::unique_ptr<TensorStream> stream,
                                                 const TensorInfo& info, std::string file);

}  // namespace ckpt
