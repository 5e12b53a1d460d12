#include "formats/container/output_tensor.h"

#include <algorithm>

namespace ckpt::formats {
namespace {

Result<bool> YieldSameBytes(const OutputModel& model, std::size_t a, std::size_t b) {
  CKPT_ASSIGN_OR_RETURN(const auto stream_a, model.open(a));
  CKPT_ASSIGN_OR_RETURN(const auto stream_b, model.open(b));
  std::span<const std::byte> left_a, left_b;
  while (true) {
    if (left_a.empty()) {
      CKPT_ASSIGN_OR_RETURN(left_a, stream_a->Next());
    }
    if (left_b.empty()) {
      CKPT_ASSIGN_OR_RETURN(left_b, stream_b->Next());
    }
    const std::size_t count = std::min(left_a.size(), left_b.size());
    if (count == 0) return left_a.empty() && left_b.empty();
    if (!std::equal(left_a.begin(), left_a.begin() + static_cast<std::ptrdiff_t>(count),
                    left_b.begin())) {
      return false;
    }
    left_a = left_a.subspan(count);
    left_b = left_b.subspan(count);
  }
}

}  // namespace

Result<std::vector<std::size_t>> SharedTensorsOf(const OutputModel& model) {
  std::vector<std::size_t> shared(model.tensors.size());
  for (std::size_t i = 0; i < shared.size(); ++i) {
    shared[i] = i;
    const TensorInfo& info = model.tensors[i];
    if (!info.alias_of || info.alias_of->index >= shared.size()) continue;
    const std::size_t of = info.alias_of->index;
    const TensorInfo& other = model.tensors[of];
    // What is an alias itself may end up elsewhere.
    if (of == i || other.alias_of || other.dtype != info.dtype || other.shape != info.shape) {
      continue;
    }
    CKPT_ASSIGN_OR_RETURN(const bool same, YieldSameBytes(model, i, of));
    if (same) shared[i] = of;
  }
  return shared;
}

Status PullTensor(const OutputModel& model, std::size_t index,
                  const std::function<Status(std::span<const std::byte>)>& sink) {
  const TensorInfo& info = model.tensors[index];
  const auto wrong_size = [&](const std::string& yielded) {
    return Fail(Error{ErrorCode::kInternal, "its source yields " + yielded + " bytes where " +
                                                std::to_string(info.byte_size) + " were announced"}
                    .Of(info.name));
  };
  CKPT_ASSIGN_OR_RETURN(const auto stream, model.open(index));
  std::uint64_t left = info.byte_size;
  while (true) {
    CKPT_ASSIGN_OR_RETURN(const auto chunk, stream->Next());
    if (chunk.empty()) break;
    if (chunk.size() > left) return wrong_size("more");
    CKPT_RETURN_IF_ERROR(sink(chunk));
    left -= chunk.size();
  }
  if (left != 0) return wrong_size(std::to_string(info.byte_size - left));
  return {};
}

}  // namespace ckpt::formats
