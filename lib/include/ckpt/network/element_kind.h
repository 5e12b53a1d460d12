// What elements of a stored type are in a network.
#pragma once

#include "ckpt/dtype.h"
#include "ckpt/network/operation.h"

namespace ckpt::network {

ElementKind KindOf(Dtype dtype) noexcept;

}  // namespace ckpt::network
