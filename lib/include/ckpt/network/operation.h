// What a network computes, in one closed vocabulary: every operation with all that decides a value
// and nothing that does not.
//
// Each framework's record of a network is translated into these operations once; shapes, what a
// batch norm may pass, layers, and values are readings of them. Versions and oddities of a
// framework (padding of a size that depends on the data's, Keras 1 dimension orders, opsets) end in
// the translator. An alternative of Computation has one row in operation_table.h, and does not
// compile without a shape rule, a channel rule and a kernel.
//
// Axes: -1 is the last one, as in NumPy. `channel_axis` is 1 (channels first) or -1 (last), axis 0
// holds the examples, and the others are the spatial axes, in their order. Lists along the spatial
// axes that are empty mean the neutral value (1, or 0 for padding) on each of them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "ckpt/kernel_layout.h"

namespace ckpt::network {

using Sizes = std::vector<std::int64_t>;

// Elements around the data. With a "same" rule they depend on the size i of the data: in all
// max((ceil(i / s) - 1) * s + (k - 1) * d + 1 - i, 0) along an axis, the odd one after the data
// (kSameUpper: TensorFlow, Keras, SAME_UPPER) or before it (kSameLower).
enum class PaddingRule : std::uint8_t { kExplicit, kSameUpper, kSameLower };
struct Padding {
  PaddingRule rule = PaddingRule::kExplicit;
  Sizes before = {}, after = {};  // kExplicit: by spatial axis, none negative
  bool operator==(const Padding&) const = default;
};

// y = correlation of x and the kernel, plus the bias. Operands: x, kernel, bias [O] or none.
// Zeros pad. The kernel's sizes are those of its spatial axes.
struct Convolution {
  Sizes stride = {}, dilation = {};
  Padding padding = {};
  std::int64_t groups = 1;  // not looked at for kSpatialInMultiplier: one a channel
  KernelLayout layout = KernelLayout::kSpatialInOut;
  std::int64_t channel_axis = -1;
  bool flipped = false;  // Theano's: the kernel is turned round on every spatial axis
};

// The transpose of a convolution: x[i] * kernel[k] is added to y[i * stride + k * dilation -
// before]. Operands: x, kernel, bias [O] or none, sizes of y along the spatial axes or none (an
// operand of integers: one for each axis of y, or for each spatial axis).
struct TransposedConvolution {
  // How long y is along an axis where x has i elements, k being the dilated kernel:
  //   kFromPadding  (i - 1) * s + k - before - after + more
  //   kTimesStride  i * s;  before = max(k - s, 0) / 2, rounded down
  //   kGiven        the operand; before as `padding` says for the convolution from y to x: its
  //                 explicit amount, or of its total (i - 1) * s + k - y, at least 0, the half
  //                 rounded down (kSameUpper) or up (kSameLower)
  enum class Length : std::uint8_t { kFromPadding, kTimesStride, kGiven };
  Sizes stride = {}, dilation = {};
  Padding padding = {};  // what is cut off
  Sizes more = {};       // elements at the end that no x may reach: output padding
  Length length = Length::kFromPadding;
  Sizes given = {};  // kGiven without an operand: along the spatial axes
  std::int64_t groups = 1;
  KernelLayout layout = KernelLayout::kSpatialOutIn;
  std::int64_t channel_axis = -1;
  bool flipped = false;
};

// y = factor * a b, over the last two axes, the others broadcast; a vector is a row on the left and
// a column on the right, as in NumPy. Operands: a, b.
struct MatrixProduct {
  bool transpose_a = false, transpose_b = false;  // of the last two axes
  double factor = 1;
};

// Operands as the equation has them: "bij,jk->bik"; "..." as in NumPy, always with "->".
struct Einsum {
  std::string equation;
};

// y = gamma * (x - mean) / sqrt(variance + epsilon) + beta. Operands: x, gamma or none, beta or
// none, mean, variance; all [C].
struct BatchNormalization {
  std::int64_t axis = -1;
  double epsilon = 0;
  // The mean and the variance (of n elements, over n) of the data stand in for the moving ones,
  // which may be absent.
  bool of_batch = false;
  // As recorded; decides no value at serving.
  std::optional<double> momentum = {};
};

// y = scale * (x - mean) / sqrt(mean of squares + epsilon) + offset, mean and variance over the
// listed axes of one example. Operands: x, scale or none, offset or none, of the listed axes' sizes
// in their order (broadcast against each other otherwise).
struct LayerNormalization {
  Sizes axes = {-1};
  double epsilon = 0;
  bool root_mean_square = false;  // RMS norm: no mean is subtracted
};

// As above over each group of neighbouring channels and all spatial axes. Operands: x, scale [C] or
// none, offset [C] or none.
struct GroupNormalization {
  std::int64_t groups = 0;  // 0: one a channel, instance normalisation
  std::int64_t channel_axis = -1;
  double epsilon = 0;
};

// y = x / (bias + alpha * sum of x^2 over `size` neighbouring channels)^beta; the window has
// (size - 1) / 2 channels before (rounded down) and the rest after.
struct LocalResponseNormalization {
  std::int64_t size = 5, channel_axis = -1;
  double alpha = 1, beta = 0.5, bias = 1;
};

// y = f(x) element by element; a and b are the parameters that f has.
enum class UnaryFunction : std::uint8_t {
  kIdentity,
  kRelu,
  kClip,              // max(a, min(x, b)), either of them infinite
  kLeakyRelu,         // x < 0: a x
  kElu,               // x < 0: a (exp(x) - 1)
  kSelu,              // b (x > 0: x; else a (exp(x) - 1))
  kCelu,              // max(0, x) + min(0, a (exp(x / a) - 1))
  kThresholded,       // x > a: x, else 0
  kThresholdedLeaky,  // Keras' ReLU with a threshold: x >= a: x; else b (x - a)
  kSigmoid,
  kHardSigmoid,  // max(0, min(1, a x + b))
  kTanh,
  kSilu,       // x sigmoid(a x)
  kHardSwish,  // x max(0, min(1, a x + b))
  kSoftplus,
  kSoftsign,
  kMish,
  kGelu,      // x (1 + erf(x / sqrt 2)) / 2
  kGeluTanh,  // its approximation by tanh
  kLinear,    // a x + b
  kShrink,    // x < -a: x + b; x > a: x - b; else 0
  kPower,     // x^a
  kExp,
  kExpm1,
  kLog,
  kLog1p,
  kLogSigmoid,
  kSqrt,
  kRsqrt,
  kSquare,
  kReciprocal,
  kNegate,
  kAbs,
  kSign,
  kFloor,
  kCeil,
  kRound,  // half to even
  kErf,
  kSin,
  kCos,
  kTan,
  kAsin,
  kAcos,
  kAtan,
  kSinh,
  kCosh,
  kAsinh,
  kAcosh,
  kAtanh,
  kNot,
  kIsNan,
  kIsInf,
};
struct Unary {
  UnaryFunction function = UnaryFunction::kIdentity;
  double a = 0, b = 0;
};

// y = f(x1, x2) element by element, broadcast as in NumPy; those that are associative, and kMean,
// take two or more operands.
enum class BinaryFunction : std::uint8_t {
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,  // of two integers: rounded towards zero
  kFloorDivide,
  kModulo,     // the sign of the divisor
  kRemainder,  // the sign of the dividend
  kPower,
  kMaximum,
  kMinimum,
  kMean,
  kSquaredDifference,
  kLeakyRelu,  // PReLU: x1 < 0: x1 x2
  kEqual,
  kNotEqual,
  kLess,
  kLessOrEqual,
  kGreater,
  kGreaterOrEqual,
  kAnd,
  kOr,
  kXor,
  kAtan2,
};
struct Binary {
  BinaryFunction function = BinaryFunction::kAdd;
};

// Operands: condition, a, b: a where the condition holds; broadcast.
struct Select {};

// Padded elements never win a maximum; whether an average counts them is said.
struct Pool {
  enum class Kind : std::uint8_t { kMaximum, kAverage, kNorm2 };
  Kind kind = Kind::kMaximum;
  Sizes size = {}, stride = {}, dilation = {};  // `size` by spatial axis, never empty
  Padding padding = {};
  // ceil((i + before + after - k) / s) + 1 windows, without one that would start behind the data
  // and the padding before it; else rounded down.
  bool ceil = false;
  bool count_padding = false;  // kAverage: the padding counts, what lies beyond it (ceil) does not
  std::int64_t channel_axis = -1;
};

// Which axes: those listed, all spatial ones, or all.
struct Axes {
  enum class Which : std::uint8_t { kListed, kSpatial, kAll };
  Which which = Which::kListed;
  Sizes listed = {};
  std::int64_t channel_axis = -1;  // kSpatial
};

// Over axes; an operand of integers may list them instead of `axes`. Operands: x, axes or none.
struct Reduction {
  enum class Kind : std::uint8_t {
    kMean,
    kSum,
    kMaximum,
    kMinimum,
    kProduct,
    kNorm1,
    kNorm2,
    kSumOfSquares,
    kLogSum,
    kLogSumExp,
    kVariance,  // of n elements, over n
    kAll,
    kAny,
  };
  Kind kind = Kind::kMean;
  Axes axes = {};
  bool keep = true;  // the axes stay, of size 1
  // No axis listed at all means none instead of all.
  bool none_is_identity = false;
};

// The place of the largest or smallest element, an integer.
struct ArgExtreme {
  std::int64_t axis = 0;
  bool largest = true, last = false, keep = true;
};

// exp(x) / sum of exp(x) over the axis, or its logarithm.
struct Softmax {
  std::int64_t axis = -1;
  bool log = false;
  // The axes from `axis` on are one (ONNX before opset 13).
  bool merged = false;
};

// Sums along an axis up to each element.
struct CumulativeSum {
  std::int64_t axis = 0;
  bool exclusive = false, backward = false;
};

// The elements in C order under another shape. Operands: x, the shape or none.
struct Reshape {
  static constexpr std::int64_t kRest = -1;  // what is left over; one axis at most
  static constexpr std::int64_t kCopy = 0;   // the size of the same axis of x, if zero_copies
  Sizes shape = {};                          // without an operand
  bool zero_copies = false;                  // a 0 is kCopy, not a size
  // The shape is that of one example; axis 0 stays in front of it.
  bool of_example = false;
};
// The axes from first to last (inclusive) become one; one more axis of size 1 where last < first
// (after they are counted from the front).
struct MergeAxes {
  std::int64_t first = 1, last = -1;
};
struct InsertAxes {
  Sizes axes = {};  // as they are counted in the result. An operand may list them instead.
};
struct DropAxes {
  Sizes axes = {};  // of size 1; none: all such axes. An operand may list them instead.
};
struct Transpose {
  Sizes order = {};  // axis i of the result is axis order[i] of x; empty: reversed
};

// Operands: two or more, or one.
struct Concatenate {
  std::int64_t axis = -1;
};
// Several results. Operands: x, the sizes or none.
struct Split {
  std::int64_t axis = -1;
  Sizes sizes = {};  // empty: equal parts, the last one smaller where they do not fit
};

// x[begin:end:step] as in NumPy, on the listed axes. Operands: x and, instead of the attributes,
// integers begin, end, axes or none, step or none.
struct Slice {
  static constexpr std::int64_t kToEnd = INT64_MAX;  // also: from the end, where the step is < 0
  Sizes axes = {}, begin = {}, end = {},
        step = {};  // `step` empty: 1; `axes` empty: the first ones
};

// Elements around x, on all axes. Operands: x and, instead of the attributes, integers (all
// before, then all after) or none, the value or none, the axes or none. Negative amounts cut off.
struct Pad {
  enum class Mode : std::uint8_t { kConstant, kReflect, kSymmetric, kEdge, kWrap };
  Mode mode = Mode::kConstant;
  Sizes before = {}, after = {};  // one for each of `axes`, or for each axis of x
  Sizes axes = {};
  double value = 0;
};

// Operands: x, and the sizes or the scales of the listed axes or none.
struct Resize {
  enum class Mode : std::uint8_t { kNearest, kLinear, kCubic };
  // Where in x an element of y is taken: with s = scale, i = index in y, n = size of x, m = of y
  enum class Place : std::uint8_t {
    kAsymmetric,          // i / s
    kHalfPixel,           // (i + 0.5) / s - 0.5
    kPytorchHalfPixel,    // the same; 0 where m is 1
    kAlignCorners,        // i (n - 1) / (m - 1); 0 where m is 1
    kHalfPixelSymmetric,  // n / 2 (1 - m / (n s)) + (i + 0.5) / s - 0.5
    kHalfPixelNearest,    // TensorFlow's half_pixel_centers of nearest: (i + 0.5) / s
  };
  enum class Rounding : std::uint8_t { kFloor, kCeil, kHalfDown, kHalfUp };  // kNearest
  Mode mode = Mode::kNearest;
  Place place = Place::kHalfPixel;
  Rounding rounding = Rounding::kFloor;
  Sizes axes = {};  // empty: all
  // One of them, by `axes`; both empty: the operand, sizes if they are integers.
  Sizes sizes = {};
  std::vector<double> scales = {};
  // The scale is m / n although scales are given.
  bool scale_from_sizes = false;
  double cubic = -0.75;
  bool exclude_outside = false, antialias = false;
};

// Operands: x, integers.
struct Gather {
  std::int64_t axis = 0, batch_axes = 0;  // indices below 0 count from the end
};
struct GatherNd {
  std::int64_t batch_axes = 0;
};
// Operands: x, indices [..., k], updates: those elements of x replaced.
struct ScatterNd {
  bool add = false;
};
// Operands: x, integers, of the same rank: y[i][j] = x[index[i][j]][j] for axis 0.
struct GatherElements {
  std::int64_t axis = 0;
};
// Operands: integers, depth (an integer), [off, on].
struct OneHot {
  std::int64_t axis = -1;
};

enum class ElementKind : std::uint8_t { kReal, kInteger, kBoolean };
struct Cast {
  ElementKind to = ElementKind::kReal;  // a real becomes an integer by rounding towards zero
};

// The sizes of x, those of the axes [begin, end).
struct ShapeOf {
  std::int64_t begin = 0, end = INT64_MAX;
};
// Operands: the shape; the value or none.
struct Fill {
  double value = 0;
  ElementKind kind = ElementKind::kReal;
};
// Operands: start, limit, delta: scalars.
struct Range {};
// Broadcast to a shape, as in NumPy, and never to a smaller one. Operands: x, the shape or none.
struct BroadcastTo {
  Sizes shape = {};
};
// Operands: x, the counts for each axis or none.
struct Tile {
  Sizes counts = {};
};

// Blocks of size `block` on the two spatial axes and channels, turned into each other.
struct SpaceAndDepth {
  enum class Order : std::uint8_t { kBlockFirst, kChannelFirst };  // DCR (TensorFlow), CRD
  bool to_space = true;
  std::int64_t block = 2, channel_axis = -1;
  Order order = Order::kBlockFirst;
};
// TensorFlow's SpaceToBatchND and BatchToSpaceND on the axes behind axis 0. Operands: x and,
// instead of the attributes, the block sizes and the paddings or crops [M, 2] or none.
struct SpaceAndBatch {
  bool to_space = true;
  Sizes block = {}, before = {}, after = {};
};

// A recurrent layer in one direction. Operands: x [N, T, I], kernel, recurrent kernel, bias or
// none, recurrent bias or none, first state [N, U] or none, first cell state or none.
// Results: all outputs [N, T, U], the last output, the last cell state.
struct Recurrent {
  enum class Cell : std::uint8_t { kSimple, kLstm, kGru };
  Cell cell = Cell::kLstm;
  std::int64_t units = 0;
  // Places of the gates in the kernels: input, forget, cell, output; update, reset, new.
  std::array<std::uint8_t, 4> gates = {0, 1, 2, 3};
  bool transposed = false;   // kernels [gates * U, I] (ONNX, PyTorch), else [I, gates * U]
  bool reset_after = false;  // GRU: the reset gate acts on the product, as in cuDNN
  Unary activation = {UnaryFunction::kTanh};
  Unary gate_activation = {UnaryFunction::kSigmoid};
  bool backward = false;    // the results' order in time stays that of x
  bool time_first = false;  // x and the outputs are [T, N, ...]
};

// round(x / scale) + zero kept within [low, high], and back: (x - zero) * scale. Operands: x,
// scale, zero point or none; per channel along `axis`.
struct Quantize {
  std::int64_t axis = 1;
  double low = 0, high = 255;
};
struct Dequantize {
  std::int64_t axis = 1;
};

// What is not understood: nothing else is called so. Any operands and results.
struct Unknown {
  std::string what;  // the framework's word: "Lambda", "NonMaxSuppression"
  std::string why;   // "a function of the user's own"
};

using Computation =
    std::variant<Convolution, TransposedConvolution, MatrixProduct, Einsum, BatchNormalization,
                 LayerNormalization, GroupNormalization, LocalResponseNormalization, Unary, Binary,
                 Select, Pool, Reduction, ArgExtreme, Softmax, CumulativeSum, Reshape, MergeAxes,
                 InsertAxes, DropAxes, Transpose, Concatenate, Split, Slice, Pad, Resize, Gather,
                 GatherNd, ScatterNd, GatherElements, OneHot, Cast, ShapeOf, Fill, Range,
                 BroadcastTo, Tile, SpaceAndDepth, SpaceAndBatch, Recurrent, Quantize, Dequantize,
                 Unknown>;

}  // namespace ckpt::network
