#include "convert/cast_range.h"

#include <algorithm>
#include <limits>

#include "ckpt/elements.h"
#include "core/element_loops.h"
#include "fold/element_stream.h"

namespace ckpt {

Status CheckCast(const Checkpoint& checkpoint, TensorId id, Dtype dtype,
                 std::vector<std::string>& notes) {
  const TensorInfo& info = checkpoint.manifest().tensors[id.index];
  if (MaxFinite(dtype) >= MaxFinite(info.dtype) && MinNormal(dtype) <= MinNormal(info.dtype)) {
    return {};
  }
  EncodeLoss loss;
  double largest = 0;
  CKPT_ASSIGN_OR_RETURN(auto elements, ElementStream::Open(checkpoint, id));
  while (true) {
    CKPT_ASSIGN_OR_RETURN(const auto piece, elements.Next());
    if (piece.empty()) break;
    const EncodeLoss one = LossOfEncoding(dtype, piece);
    loss.overflowed += one.overflowed;
    loss.underflowed += one.underflowed;
    largest = std::max(largest, LargestMagnitude(piece, std::numeric_limits<double>::max()));
  }
  const std::string type(Name(dtype));
  if (loss.overflowed != 0) {
    return Fail(Error{ErrorCode::kUnfit, std::to_string(loss.overflowed) + " of " +
                                             std::to_string(info.shape.element_count()) +
                                             " values exceed " + type + ": the largest is " +
                                             std::to_string(largest)}
                    .Of(info.name));
  }
  if (loss.underflowed != 0) {
    notes.push_back(std::to_string(loss.underflowed) + " values of \"" + info.name +
                    "\" fall below the smallest normal " + type);
  }
  return {};
}

}  // namespace ckpt
