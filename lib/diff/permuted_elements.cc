#include "diff/permuted_elements.h"

#include <algorithm>
#include <utility>

#include "ckpt/elements.h"

namespace ckpt {

Result<PermutedElements> PermutedElements::Open(const Checkpoint& checkpoint, TensorId id,
                                                const AxisOrder* order) {
  const TensorInfo& info = checkpoint.manifest().tensors[id.index];
  const OpenStream open = [&checkpoint, id] { return checkpoint.Open(id); };
  if (order != nullptr && !IsIdentity(*order)) {
    return PermutedElements(info, Permute(open, BitSize(info.dtype) / 8, *order));
  }
  CKPT_ASSIGN_OR_RETURN(auto stream, open());
  return PermutedElements(info, std::move(stream));
}

Result<const std::vector<double>*> PermutedElements::Take(std::size_t count) {
  const std::size_t size = BitSize(info_->dtype) / 8;
  values_.resize(count);
  std::size_t filled = 0;
  while (filled < count) {
    if (pending_.size() < size) {
      CKPT_ASSIGN_OR_RETURN(pending_, stream_->Next());
      if (pending_.size() < size) {
        return Fail(
            Error{ErrorCode::kCorrupt, "its data ends early"}.In(info_->data_file).Of(info_->name));
      }
    }
    const std::size_t some = std::min(count - filled, pending_.size() / size);
    DecodeToDouble(info_->dtype, pending_.first(some * size),
                   std::span(values_).subspan(filled, some));
    pending_ = pending_.subspan(some * size);
    filled += some;
  }
  return &values_;
}

}  // namespace ckpt
