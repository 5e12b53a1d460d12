// The kernels: one for each alternative of network::Computation, in families.
//
// A kernel is called with operands whose shapes the shape rules accepted and with results of the
// shapes that they found. What those rules do not look at (the lengths of a norm's vectors, the
// values of indices) is checked by the kernel.
#pragma once

#include <span>
#include <string>

#include "ckpt/execution/array.h"
#include "ckpt/network/operation.h"
#include "ckpt/result.h"

namespace ckpt::execution {

using network::Sizes;

struct Call {
  std::span<const Array* const> operands;
  // Full of zeros; but operand 0 itself where the kernel works in place (schedule.h).
  std::span<Array> results;
  bool single = false;  // sums of products are formed in float

  // Null where it is left out.
  const Array* Given(std::size_t i) const { return i < operands.size() ? operands[i] : nullptr; }
  const Array& operator[](std::size_t i) const { return *operands[i]; }
  Array& result() const { return results[0]; }
};

// convolution.cc, transposed_convolution.cc
Status Compute(const network::Convolution& convolution, const Call& call);
Status Compute(const network::TransposedConvolution& convolution, const Call& call);
// matrix_product.cc, einsum.cc
Status Compute(const network::MatrixProduct& product, const Call& call);
Status Compute(const network::Einsum& einsum, const Call& call);
// normalization.cc
Status Compute(const network::BatchNormalization& norm, const Call& call);
Status Compute(const network::LayerNormalization& norm, const Call& call);
Status Compute(const network::GroupNormalization& norm, const Call& call);
Status Compute(const network::LocalResponseNormalization& norm, const Call& call);
// unary.cc, binary.cc
Status Compute(const network::Unary& unary, const Call& call);
Status Compute(const network::Cast& cast, const Call& call);
Status Compute(const network::Binary& binary, const Call& call);
Status Compute(const network::Select& select, const Call& call);
// pooling.cc
Status Compute(const network::Pool& pool, const Call& call);
// reduction.cc
Status Compute(const network::Reduction& reduction, const Call& call);
Status Compute(const network::ArgExtreme& extreme, const Call& call);
Status Compute(const network::Softmax& softmax, const Call& call);
Status Compute(const network::CumulativeSum& sum, const Call& call);
// layout.cc
Status Compute(const network::Reshape& reshape, const Call& call);
Status Compute(const network::MergeAxes& merge, const Call& call);
Status Compute(const network::InsertAxes& insert, const Call& call);
Status Compute(const network::DropAxes& drop, const Call& call);
Status Compute(const network::Transpose& transpose, const Call& call);
Status Compute(const network::Concatenate& concatenate, const Call& call);
Status Compute(const network::Split& split, const Call& call);
Status Compute(const network::Slice& slice, const Call& call);
Status Compute(const network::BroadcastTo& to, const Call& call);
Status Compute(const network::Tile& tile, const Call& call);
// padding.cc
Status Compute(const network::Pad& pad, const Call& call);
// blocks.cc
Status Compute(const network::SpaceAndDepth& blocks, const Call& call);
Status Compute(const network::SpaceAndBatch& blocks, const Call& call);
// resize.cc
Status Compute(const network::Resize& resize, const Call& call);
// gather.cc
Status Compute(const network::Gather& gather, const Call& call);
Status Compute(const network::GatherNd& gather, const Call& call);
Status Compute(const network::ScatterNd& scatter, const Call& call);
Status Compute(const network::GatherElements& gather, const Call& call);
Status Compute(const network::OneHot& one_hot, const Call& call);
// made_values.cc
Status Compute(const network::ShapeOf& shape, const Call& call);
Status Compute(const network::Fill& fill, const Call& call);
Status Compute(const network::Range& range, const Call& call);
// recurrent.cc
Status Compute(const network::Recurrent& recurrent, const Call& call);
// quantization.cc
Status Compute(const network::Quantize& quantize, const Call& call);
Status Compute(const network::Dequantize& dequantize, const Call& call);

// kCorrupt.
inline tl::unexpected<Error> Contradicts(std::string message) {
  return Fail(ErrorCode::kCorrupt, std::move(message));
}

}  // namespace ckpt::execution
