// The bytes of a planned tensor, computed in bounded pieces on the way from input to output.
#include <memory>
#include <utility>
#include <vector>

#include "ckpt/convert.h"
#include "ckpt/elements.h"
#include "convert/finite_stream.h"
#include "core/held_bytes.h"
#include "fold/element_stream.h"

namespace ckpt {
namespace {

class ComputedStream : public TensorStream {
 public:
  ComputedStream(ElementStream elements, Dtype dtype, ChannelScaler by_out, ChannelScaler by_in)
      : elements_(std::move(elements)), dtype_(dtype), by_out_(by_out), by_in_(by_in) {}

  Result<std::span<const std::byte>> Next() override {
    std::size_t filled = 0;
    while (!ended_ && filled + kMostOfAPiece <= kChunkBytes) {
      CKPT_ASSIGN_OR_RETURN(const auto piece, elements_.Next());
      ended_ = piece.empty();
      by_out_.Scale(piece);
      by_in_.Scale(piece);
      const std::size_t bytes = piece.size() * BitSize(dtype_) / 8;
      if (bytes_.size() < filled + bytes) bytes_.resize(filled + bytes);
      EncodeFromDouble(dtype_, piece, std::span(bytes_).subspan(filled, bytes));
      filled += bytes;
    }
    return std::span<const std::byte>(bytes_).first(filled);
  }

  static constexpr std::size_t kChunkBytes = std::size_t{1} << 18;

 private:
  static constexpr std::size_t kMostOfAPiece = ElementStream::kPiece * sizeof(double);

  ElementStream elements_;
  Dtype dtype_;
  ChannelScaler by_out_, by_in_;
  std::vector<std::byte> bytes_;
  bool ended_ = false;
};

using Opened = Result<std::unique_ptr<TensorStream>>;

Opened OpenComputed(const Checkpoint& checkpoint, TensorId source, Dtype dtype,
                    const ScaledKernel& scale) {
  CKPT_ASSIGN_OR_RETURN(auto elements, ElementStream::Open(checkpoint, source));
  return std::unique_ptr<TensorStream>(std::make_unique<ComputedStream>(
      std::move(elements), dtype, ChannelScaler(scale.out_view, scale.out_factors),
      ChannelScaler(scale.in_view, scale.in_factors)));
}

}  // namespace

namespace {

// What a tensor holds, in the order of the input.
Opened OpenContent(const Checkpoint& checkpoint, const FoldedTensor& tensor) {
  const Dtype dtype = tensor.info.dtype;
  if (const auto* constant = std::get_if<Constant>(&tensor.content)) {
    return std::unique_ptr<TensorStream>(
        std::make_unique<HeldBytes>(Encoded(dtype, constant->values)));
  }
  if (const auto* scaled = std::get_if<ScaledKernel>(&tensor.content)) {
    return OpenComputed(checkpoint, scaled->source, dtype, *scaled);
  }
  const TensorId source = std::get<CopyOf>(tensor.content).source;
  if (checkpoint.manifest().tensors[source.index].dtype == dtype) return checkpoint.Open(source);
  return OpenComputed(checkpoint, source, dtype, {});
}

}  // namespace

Opened OpenPlanned(const Checkpoint& checkpoint, const ConversionPlan& plan, std::size_t index) {
  const FoldedTensor& tensor = plan.tensors[index];
  const auto open = [&checkpoint, &tensor]() -> Opened {
    CKPT_ASSIGN_OR_RETURN(auto stream, OpenContent(checkpoint, tensor));
    if (!tensor.must_be_finite) return stream;
    return FailWhereNotFinite(std::move(stream), tensor.info, checkpoint.manifest().resolved);
  };
  if (!tensor.order || IsIdentity(*tensor.order)) return open();
  return Permute(open, BitSize(tensor.info.dtype) / 8, *tensor.order);
}

Status ReadPlanned(const Checkpoint& checkpoint, const ConversionPlan& plan) {
  for (std::size_t i = 0; i < plan.tensors.size(); ++i) {
    CKPT_ASSIGN_OR_RETURN(const auto stream, OpenPlanned(checkpoint, plan, i));
    while (true) {
      CKPT_ASSIGN_OR_RETURN(const auto chunk, stream->Next());
      if (chunk.empty()) break;
    }
  }
  return {};
}

}  // namespace ckpt
