// Rounding to a grid of numbers, and back.
//
// Source: the operator documentation of ONNX (QuantizeLinear, DequantizeLinear).
#include <algorithm>
#include <cmath>

#include "execution/kernels.h"
#include "execution/strided.h"

namespace ckpt::execution {
namespace {

// Scale and zero point of each element: one for all, or one for each place along an axis.
class Grid {
 public:
  static Result<Grid> Of(const Call& call, std::int64_t axis) {
    Grid grid;
    grid.scale_ = &call[1];
    grid.zero_ = call.Given(2);
    const std::int64_t count = Length(call[1]);
    if (grid.zero_ != nullptr && Length(*grid.zero_) != count) {
      return Contradicts("a zero point for each of " + std::to_string(count) + " scales");
    }
    if (count == 1) return grid;
    const std::int64_t rank = Rank(call[0]);
    const std::int64_t counted = axis < 0 ? axis + rank : axis;
    if (counted < 0 || counted >= rank || call[0].shape[Index(counted)] != count) {
      return Contradicts(std::to_string(count) + " scales along an axis of another size");
    }
    const AxisView view = ViewOf(call[0].shape, Index(counted));
    grid.size_ = view.size;
    grid.inner_ = view.inner;
    return grid;
  }

  std::size_t Place(std::size_t element) const { return element / Index(inner_) % Index(size_); }
  double Scale(std::size_t element) const { return scale_->elements[Place(element)]; }
  double Zero(std::size_t element) const {
    return zero_ == nullptr ? 0 : zero_->elements[Place(element)];
  }

 private:
  const Array* scale_ = nullptr;
  const Array* zero_ = nullptr;
  std::int64_t size_ = 1, inner_ = 1;
};

Status CheckRange(double low, double high) {
  if (low <= high) return {};
  return Contradicts("a range that ends before it begins");
}

double Quantized(double x, double scale, double zero, double low, double high) {
  return std::clamp(std::nearbyint(x / scale) + zero, low, high);
}

}  // namespace

Status Compute(const network::Quantize& quantize, const Call& call) {
  CKPT_RETURN_IF_ERROR(CheckRange(quantize.low, quantize.high));
  CKPT_ASSIGN_OR_RETURN(const Grid grid, Grid::Of(call, quantize.axis));
  for (std::size_t i = 0; i < call[0].elements.size(); ++i) {
    call.result().elements[i] =
        Quantized(call[0].elements[i], grid.Scale(i), grid.Zero(i), quantize.low, quantize.high);
  }
  return {};
}

Status Compute(const network::Dequantize& dequantize, const Call& call) {
  CKPT_ASSIGN_OR_RETURN(const Grid grid, Grid::Of(call, dequantize.axis));
  for (std::size_t i = 0; i < call[0].elements.size(); ++i) {
    call.result().elements[i] = (call[0].elements[i] - grid.Zero(i)) * grid.Scale(i);
  }
  return {};
}

}  // namespace ckpt::execution
