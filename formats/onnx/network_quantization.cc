// Quantised operators: what they compute of the real values that their integers stand for.
#include <array>
#include <utility>

#include "formats/onnx/network_step.h"
#include "formats/onnx/onnx_dtype.h"

namespace ckpt::formats::onnx {
namespace {

using network::BinaryFunction;
using network::kNoValue;
using network::UnaryFunction;
using network::ValueId;

struct Bounds {
  double low, high;
};
std::optional<Bounds> BoundsOf(Dtype dtype) {
  switch (dtype) {
    case Dtype::kU8:
      return Bounds{0, 255};
    case Dtype::kI8:
      return Bounds{-128, 127};
    case Dtype::kU16:
      return Bounds{0, 65535};
    case Dtype::kI16:
      return Bounds{-32768, 32767};
    case Dtype::kU4:
      return Bounds{0, 15};
    case Dtype::kI4:
      return Bounds{-8, 7};
    default:
      return std::nullopt;
  }
}

// By the zero point's type, an attribute, or uint8.
tl::expected<network::Quantize, std::string> QuantizeBy(const Step& step, std::size_t zero_point) {
  std::optional<Dtype> dtype = Dtype::kU8;
  if (step.Given(zero_point)) {
    dtype = step.DtypeOf(zero_point);
  } else if (const std::int64_t type = step.Int("output_dtype", 0); type != 0) {
    const OnnxDtype* row =
        type > 0 && type < 1000 ? FindOnnxDtype(static_cast<std::int32_t>(type)) : nullptr;
    dtype = row == nullptr ? std::nullopt : std::optional(row->dtype);
  }
  const auto bounds = dtype ? BoundsOf(*dtype) : std::nullopt;
  if (!bounds) return Cannot("to what type it rounds is not known, or no integer");
  network::Quantize quantize;
  quantize.axis = step.Int("axis", 1);
  quantize.low = bounds->low;
  quantize.high = bounds->high;
  return quantize;
}

Outcome QuantizeLinear(Step& step) {
  if (step.Int("block_size", 0) != 0) return Cannot("it has a scale for each block");
  const auto quantize = QuantizeBy(step, 2);
  if (!quantize) return Cannot(quantize.error());
  return step.Yield(*quantize, {step.Input(0), step.Input(1), step.Input(2)});
}

Outcome DequantizeLinear(Step& step) {
  if (step.Int("block_size", 0) != 0) return Cannot("it has a scale for each block");
  return step.Yield(network::Dequantize{step.Int("axis", 1)},
                    {step.Input(0), step.Input(1), step.Input(2)});
}

// Inputs: x, its scale, its zero point; w likewise; y's scale and zero point; a bias in steps of
// both scales' product.
Outcome QLinearConv(Step& step) {
  const auto quantize = QuantizeBy(step, 7);
  if (!quantize) return Cannot(quantize.error());
  const auto convolution = ConvolutionOf(step);
  if (!convolution) return Cannot(convolution.error());
  const ValueId x =
      step.Inner(network::Dequantize{1}, {step.Input(0), step.Input(1), step.Input(2)});
  const ValueId w =
      step.Inner(network::Dequantize{0}, {step.Input(3), step.Input(4), step.Input(5)});
  ValueId bias = kNoValue;
  if (step.Given(8)) {
    const ValueId scale = step.Inner(BinaryFunction::kMultiply, step.Input(1), step.Input(4));
    bias = step.Inner(BinaryFunction::kMultiply, step.Input(8), scale);
  }
  const ValueId y = step.Inner(*convolution, {x, w, bias});
  return step.Yield(*quantize, {y, step.Input(6), step.Input(7)});
}

Outcome QLinearMatMul(Step& step) {
  const auto quantize = QuantizeBy(step, 7);
  if (!quantize) return Cannot(quantize.error());
  const ValueId a =
      step.Inner(network::Dequantize{-2}, {step.Input(0), step.Input(1), step.Input(2)});
  const ValueId b =
      step.Inner(network::Dequantize{-1}, {step.Input(3), step.Input(4), step.Input(5)});
  const ValueId y = step.Inner(network::MatrixProduct{}, {a, b});
  return step.Yield(*quantize, {y, step.Input(6), step.Input(7)});
}

// x less its zero point; a list of them is laid along the axis that `behind` axes follow.
ValueId Centred(Step& step, std::size_t x, std::size_t zero_point, std::int64_t behind) {
  if (!step.Given(zero_point)) return step.Input(x);
  ValueId zero = step.Input(zero_point);
  if (step.RankOf(zero) == 1 && behind > 0) {
    network::Sizes axes;
    for (std::int64_t i = 0; i < behind; ++i) axes.push_back(1 + i);
    zero = step.Inner(network::InsertAxes{axes}, {zero});
  }
  return step.Inner(BinaryFunction::kSubtract, step.Input(x), zero);
}

Outcome ConvInteger(Step& step) {
  const auto convolution = ConvolutionOf(step);
  if (!convolution) return Cannot(convolution.error());
  const auto rank = step.RankOf(step.Input(1));
  if (!rank || *rank < 2 || *rank > 254) return Cannot("its kernel is of unknown rank");
  const ValueId x = Centred(step, 0, 2, 0);
  const ValueId w = Centred(step, 1, 3, *rank - 1);
  return step.Yield(*convolution, {x, w});
}

Outcome MatMulInteger(Step& step) {
  const ValueId a = Centred(step, 0, 2, 1);
  const ValueId b = Centred(step, 1, 3, 0);
  return step.Yield(network::MatrixProduct{}, {a, b});
}

// The range of x, 0 included, in 255 steps.
Outcome DynamicQuantizeLinear(Step& step) {
  const ValueId x = step.Input(0);
  const auto extreme = [&](network::Reduction::Kind kind, BinaryFunction with_zero) {
    network::Axes all;
    all.which = network::Axes::Which::kAll;
    const ValueId found = step.Inner(network::Reduction{kind, all, false}, {x});
    return step.Inner(with_zero, found, step.Scalar(0));
  };
  const ValueId highest = extreme(network::Reduction::Kind::kMaximum, BinaryFunction::kMaximum);
  const ValueId lowest = extreme(network::Reduction::Kind::kMinimum, BinaryFunction::kMinimum);
  const ValueId range = step.Inner(BinaryFunction::kSubtract, highest, lowest);
  const ValueId scale = step.Inner(BinaryFunction::kDivide, range, step.Scalar(255));
  const ValueId steps = step.Inner(BinaryFunction::kDivide, lowest, scale);
  const ValueId place = step.Inner(UnaryFunction::kNegate, steps);
  const ValueId zero =
      step.Inner(UnaryFunction::kRound, step.Inner(UnaryFunction::kClip, place, 0, 255));
  auto outcome = step.Yield(network::Quantize{1, 0, 255}, {x, scale, zero});
  outcome->push_back(scale);
  outcome->push_back(zero);
  return outcome;
}

constexpr std::array kQuantizationOperators = {
    OperatorRule{"QuantizeLinear", QuantizeLinear},
    OperatorRule{"DequantizeLinear", DequantizeLinear},
    OperatorRule{"QLinearConv", QLinearConv},
    OperatorRule{"QLinearMatMul", QLinearMatMul},
    OperatorRule{"ConvInteger", ConvInteger},
    OperatorRule{"MatMulInteger", MatMulInteger},
    OperatorRule{"DynamicQuantizeLinear", DynamicQuantizeLinear},
};

}  // namespace

std::span<const OperatorRule> QuantizationOperators() { return kQuantizationOperators; }

}  // namespace ckpt::formats::onnx
