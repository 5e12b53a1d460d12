// Constants of a network as it reads them.
#pragma once

#include "ckpt/execution/run.h"

namespace ckpt::execution {

struct ConstantOutline {
  network::Sizes shape = {};
  network::ElementKind kind = network::ElementKind::kReal;
  std::uint64_t bytes = 0;          // while it is held
  std::uint64_t reading_bytes = 0;  // more than that while it is read
};
// By the manifest alone. kCorrupt where the tensor cannot be read as the constant says.
Result<ConstantOutline> OutlineOf(const network::Constant& constant, const Checkpoint& weights);

}  // namespace ckpt::execution
