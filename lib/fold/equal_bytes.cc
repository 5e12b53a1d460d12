#include "fold/equal_bytes.h"

#include <algorithm>

namespace ckpt {

Result<bool> HoldEqualBytes(const Checkpoint& checkpoint, TensorId a, TensorId b) {
  const auto& tensors = checkpoint.manifest().tensors;
  if (tensors[a.index].dtype != tensors[b.index].dtype ||
      tensors[a.index].byte_size != tensors[b.index].byte_size) {
    return false;
  }
  CKPT_ASSIGN_OR_RETURN(const auto stream_a, checkpoint.Open(a));
  CKPT_ASSIGN_OR_RETURN(const auto stream_b, checkpoint.Open(b));
  std::span<const std::byte> left_a, left_b;
  while (true) {
    if (left_a.empty()) {
      CKPT_ASSIGN_OR_RETURN(left_a, stream_a->Next());
    }
    if (left_b.empty()) {
      CKPT_ASSIGN_OR_RETURN(left_b, stream_b->Next());
    }
    if (left_a.empty() || left_b.empty()) return left_a.empty() && left_b.empty();
    const std::size_t count = std::min(left_a.size(), left_b.size());
    if (!std::equal(left_a.begin(), left_a.begin() + static_cast<std::ptrdiff_t>(count),
                    left_b.begin())) {
      return false;
    }
    left_a = left_a.subspan(count);
    left_b = left_b.subspan(count);
  }
}

}  // namespace ckpt
