#include "convert/finite_stream.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "audit/non_finite.h"
#include "ckpt/elements.h"

namespace ckpt {
namespace {

class FiniteStream : public TensorStream {
 public:
  FiniteStream(std::unique_ptr<TensorStream> stream, const TensorInfo& info, std::string file)
      : stream_(std::move(stream)), dtype_(info.dtype), name_(info.name), file_(std::move(file)) {}

  Result<std::span<const std::byte>> Next() override {
    CKPT_ASSIGN_OR_RETURN(const auto chunk, stream_->Next());
    if (chunk.empty()) return chunk;
    if (may_be_mask_) Look(chunk);
    if (may_be_mask_) return chunk;
    not_finite_ |= audit::CountNonFinite(dtype_, chunk) != 0;
    if (!not_finite_) return chunk;
    return Fail(Error{ErrorCode::kUnfit,
                      "CK003 non-finite-tensor: it holds NaN or infinity, which would spread to "
                      "every output that depends on it"}
                    .In(file_)
                    .Of(name_)
                    .With(Remedy::kAllowFindings));
  }

 private:
  // The elements one by one, up to the first that is neither 0 nor minus infinity.
  void Look(std::span<const std::byte> bytes) {
    const Dtype part = audit::PartType(dtype_);
    const std::size_t element = BitSize(part) / 8;
    std::array<double, 1024> block;
    while (!bytes.empty()) {
      const std::size_t count = std::min(block.size(), bytes.size() / element);
      const std::span<double> values(block.data(), count);
      DecodeToDouble(part, bytes.first(count * element), values);
      bytes = bytes.subspan(count * element);
      for (const double value : values) {
        if (value == 0) continue;
        may_be_mask_ = std::isinf(value) && value < 0;
        not_finite_ |= may_be_mask_;
        if (!may_be_mask_) return;
      }
    }
  }

  std::unique_ptr<TensorStream> stream_;
  Dtype dtype_;
  std::string name_, file_;
  bool may_be_mask_ = true, not_finite_ = false;
};

}  // namespace

std::unique_ptr<TensorStream> FailWhereNotFinite(std::unique_ptr<TensorStream> stream,
                                                 const TensorInfo& info, std::string file) {
  if (!audit::CanBeNonFinite(info.dtype) || BitSize(info.dtype) % 8 != 0) return stream;
  return std::make_unique<FiniteStream>(std::move(stream), info, std::move(file));
}

}  // namespace ckpt
