#include "fold/element_stream.h"

#include <algorithm>

#include "ckpt/elements.h"
#include "core/element_loops.h"

namespace ckpt {

ElementStream::ElementStream(const TensorInfo& info, std::unique_ptr<TensorStream> stream)
    : info_(&info), stream_(std::move(stream)), left_(info.shape.element_count()) {}

Result<ElementStream> ElementStream::Open(const Checkpoint& checkpoint, TensorId id) {
  CKPT_ASSIGN_OR_RETURN(auto stream, checkpoint.Open(id));
  return ElementStream(checkpoint.manifest().tensors[id.index], std::move(stream));
}

Result<std::span<double>> ElementStream::Next() {
  const std::size_t element_bytes = BitSize(info_->dtype) / 8;
  if (pending_.empty()) {
    CKPT_ASSIGN_OR_RETURN(pending_, stream_->Next());
    if (pending_.size() % element_bytes != 0 || pending_.size() / element_bytes > left_ ||
        (pending_.empty() && left_ != 0)) {
      return Fail(Error{ErrorCode::kCorrupt, "its data is not of the size that shape " +
                                                 ToString(info_->shape) + " asks for"}
                      .In(info_->data_file)
                      .Of(info_->name));
    }
  }
  const std::size_t count = std::min(kPiece, pending_.size() / element_bytes);
  piece_.resize(count);
  DecodeToDouble(info_->dtype, pending_.first(count * element_bytes), piece_);
  pending_ = pending_.subspan(count * element_bytes);
  left_ -= count;
  return std::span<double>(piece_);
}

void ChannelScaler::Scale(std::span<double> elements) {
  if (factors_.empty()) return;
  ForEachRun(cursor_, elements, [&](std::span<double> run, std::uint64_t channel, bool same) {
    if (same) {
      MultiplyAll(run, factors_[channel]);
    } else {
      MultiplyEach(run, &factors_[channel]);
    }
  });
}

}  // namespace ckpt
