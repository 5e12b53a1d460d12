#include "formats/container/output_tensor.h"

namespace ckpt::formats {

Status PullTensor(const OutputModel& model, std::size_t index,
                  const std::function<Status(std::span<const std::byte>)>& sink) {
  const TensorInfo& info = model.tensors[index];
  const auto wrong_size = [&](const std::string& yielded) {
    return Fail(Error{ErrorCode::kInternal,
                      "its source yields " + yielded + " bytes where " +
                          std::to_string(info.byte_size) + " were announced",
                      {},
                      {},
                      info.name});
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
