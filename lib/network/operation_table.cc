#include "ckpt/network/operation_table.h"

#include <type_traits>
#include <utility>

#include "ckpt/network/element_kind.h"

namespace ckpt::network {
namespace {

// One row an alternative; one without a row does not compile.
template <class T>
using Of = std::type_identity<T>;
constexpr std::uint8_t kAny = kAnyNumber;

constexpr OperationRow Row(Of<Convolution>) { return {"Convolution", 2, 3}; }
constexpr OperationRow Row(Of<TransposedConvolution>) { return {"TransposedConvolution", 2, 4}; }
constexpr OperationRow Row(Of<MatrixProduct>) { return {"MatrixProduct", 2, 2}; }
constexpr OperationRow Row(Of<Einsum>) { return {"Einsum", 1, kAny}; }
constexpr OperationRow Row(Of<BatchNormalization>) { return {"BatchNormalization", 1, 5}; }
constexpr OperationRow Row(Of<LayerNormalization>) { return {"LayerNormalization", 1, 3}; }
constexpr OperationRow Row(Of<GroupNormalization>) { return {"GroupNormalization", 1, 3}; }
constexpr OperationRow Row(Of<LocalResponseNormalization>) {
  return {"LocalResponseNormalization", 1, 1};
}
constexpr OperationRow Row(Of<Unary>) { return {"Unary", 1, 1}; }
constexpr OperationRow Row(Of<Binary>) { return {"Binary", 1, kAny}; }
constexpr OperationRow Row(Of<Select>) { return {"Select", 3, 3}; }
constexpr OperationRow Row(Of<Pool>) { return {"Pool", 1, 1}; }
constexpr OperationRow Row(Of<Reduction>) { return {"Reduction", 1, 2}; }
constexpr OperationRow Row(Of<ArgExtreme>) { return {"ArgExtreme", 1, 1}; }
constexpr OperationRow Row(Of<Softmax>) { return {"Softmax", 1, 1}; }
constexpr OperationRow Row(Of<CumulativeSum>) { return {"CumulativeSum", 1, 1}; }
constexpr OperationRow Row(Of<Reshape>) { return {"Reshape", 1, 2}; }
constexpr OperationRow Row(Of<MergeAxes>) { return {"MergeAxes", 1, 1}; }
constexpr OperationRow Row(Of<InsertAxes>) { return {"InsertAxes", 1, 2}; }
constexpr OperationRow Row(Of<DropAxes>) { return {"DropAxes", 1, 2}; }
constexpr OperationRow Row(Of<Transpose>) { return {"Transpose", 1, 1}; }
constexpr OperationRow Row(Of<Concatenate>) { return {"Concatenate", 1, kAny}; }
constexpr OperationRow Row(Of<Split>) { return {"Split", 1, 2, kAny}; }
constexpr OperationRow Row(Of<Slice>) { return {"Slice", 1, 5}; }
constexpr OperationRow Row(Of<Pad>) { return {"Pad", 1, 4}; }
constexpr OperationRow Row(Of<Resize>) { return {"Resize", 1, 2}; }
constexpr OperationRow Row(Of<Gather>) { return {"Gather", 2, 2}; }
constexpr OperationRow Row(Of<GatherNd>) { return {"GatherNd", 2, 2}; }
constexpr OperationRow Row(Of<ScatterNd>) { return {"ScatterNd", 3, 3}; }
constexpr OperationRow Row(Of<GatherElements>) { return {"GatherElements", 2, 2}; }
constexpr OperationRow Row(Of<OneHot>) { return {"OneHot", 3, 3}; }
constexpr OperationRow Row(Of<Cast>) { return {"Cast", 1, 1}; }
constexpr OperationRow Row(Of<ShapeOf>) { return {"ShapeOf", 1, 1}; }
constexpr OperationRow Row(Of<Fill>) { return {"Fill", 1, 2}; }
constexpr OperationRow Row(Of<Range>) { return {"Range", 3, 3}; }
constexpr OperationRow Row(Of<BroadcastTo>) { return {"BroadcastTo", 1, 2}; }
constexpr OperationRow Row(Of<Tile>) { return {"Tile", 1, 2}; }
constexpr OperationRow Row(Of<SpaceAndDepth>) { return {"SpaceAndDepth", 1, 1}; }
constexpr OperationRow Row(Of<SpaceAndBatch>) { return {"SpaceAndBatch", 1, 3}; }
constexpr OperationRow Row(Of<Recurrent>) { return {"Recurrent", 3, 7, 3}; }
constexpr OperationRow Row(Of<Quantize>) { return {"Quantize", 2, 3}; }
constexpr OperationRow Row(Of<Dequantize>) { return {"Dequantize", 2, 3}; }
constexpr OperationRow Row(Of<Unknown>) { return {"Unknown", 0, kAny, kAny}; }

template <std::size_t... i>
constexpr std::array<OperationRow, sizeof...(i)> MakeRows(std::index_sequence<i...>) {
  return {Row(Of<std::variant_alternative_t<i, Computation>>{})...};
}
constexpr auto kRows = MakeRows(std::make_index_sequence<std::variant_size_v<Computation>>{});

}  // namespace

ElementKind KindOf(Dtype dtype) noexcept {
  if (dtype == Dtype::kBool) return ElementKind::kBoolean;
  return IsFloat(dtype) ? ElementKind::kReal : ElementKind::kInteger;
}

const OperationRow& RowOf(const Computation& computation) noexcept {
  return kRows[computation.index()];
}
std::string_view Name(const Computation& computation) noexcept { return RowOf(computation).name; }

std::string_view Name(UnaryFunction function) noexcept {
  switch (function) {
    case UnaryFunction::kIdentity:
      return "identity";
    case UnaryFunction::kRelu:
      return "relu";
    case UnaryFunction::kClip:
      return "clip";
    case UnaryFunction::kLeakyRelu:
      return "leaky_relu";
    case UnaryFunction::kElu:
      return "elu";
    case UnaryFunction::kSelu:
      return "selu";
    case UnaryFunction::kCelu:
      return "celu";
    case UnaryFunction::kThresholded:
      return "thresholded_relu";
    case UnaryFunction::kThresholdedLeaky:
      return "thresholded_leaky_relu";
    case UnaryFunction::kSigmoid:
      return "sigmoid";
    case UnaryFunction::kHardSigmoid:
      return "hard_sigmoid";
    case UnaryFunction::kTanh:
      return "tanh";
    case UnaryFunction::kSilu:
      return "silu";
    case UnaryFunction::kHardSwish:
      return "hard_swish";
    case UnaryFunction::kSoftplus:
      return "softplus";
    case UnaryFunction::kSoftsign:
      return "softsign";
    case UnaryFunction::kMish:
      return "mish";
    case UnaryFunction::kGelu:
      return "gelu";
    case UnaryFunction::kGeluTanh:
      return "gelu_tanh";
    case UnaryFunction::kLinear:
      return "linear";
    case UnaryFunction::kShrink:
      return "shrink";
    case UnaryFunction::kPower:
      return "power";
    case UnaryFunction::kExp:
      return "exp";
    case UnaryFunction::kExpm1:
      return "expm1";
    case UnaryFunction::kLog:
      return "log";
    case UnaryFunction::kLog1p:
      return "log1p";
    case UnaryFunction::kLogSigmoid:
      return "log_sigmoid";
    case UnaryFunction::kSqrt:
      return "sqrt";
    case UnaryFunction::kRsqrt:
      return "rsqrt";
    case UnaryFunction::kSquare:
      return "square";
    case UnaryFunction::kReciprocal:
      return "reciprocal";
    case UnaryFunction::kNegate:
      return "negate";
    case UnaryFunction::kAbs:
      return "abs";
    case UnaryFunction::kSign:
      return "sign";
    case UnaryFunction::kFloor:
      return "floor";
    case UnaryFunction::kCeil:
      return "ceil";
    case UnaryFunction::kRound:
      return "round";
    case UnaryFunction::kErf:
      return "erf";
    case UnaryFunction::kSin:
      return "sin";
    case UnaryFunction::kCos:
      return "cos";
    case UnaryFunction::kTan:
      return "tan";
    case UnaryFunction::kAsin:
      return "asin";
    case UnaryFunction::kAcos:
      return "acos";
    case UnaryFunction::kAtan:
      return "atan";
    case UnaryFunction::kSinh:
      return "sinh";
    case UnaryFunction::kCosh:
      return "cosh";
    case UnaryFunction::kAsinh:
      return "asinh";
    case UnaryFunction::kAcosh:
      return "acosh";
    case UnaryFunction::kAtanh:
      return "atanh";
    case UnaryFunction::kNot:
      return "not";
    case UnaryFunction::kIsNan:
      return "is_nan";
    case UnaryFunction::kIsInf:
      return "is_inf";
  }
  return "";
}

std::string_view Name(BinaryFunction function) noexcept {
  switch (function) {
    case BinaryFunction::kAdd:
      return "add";
    case BinaryFunction::kSubtract:
      return "subtract";
    case BinaryFunction::kMultiply:
      return "multiply";
    case BinaryFunction::kDivide:
      return "divide";
    case BinaryFunction::kFloorDivide:
      return "floor_divide";
    case BinaryFunction::kModulo:
      return "modulo";
    case BinaryFunction::kRemainder:
      return "remainder";
    case BinaryFunction::kPower:
      return "power";
    case BinaryFunction::kMaximum:
      return "maximum";
    case BinaryFunction::kMinimum:
      return "minimum";
    case BinaryFunction::kMean:
      return "mean";
    case BinaryFunction::kSquaredDifference:
      return "squared_difference";
    case BinaryFunction::kLeakyRelu:
      return "prelu";
    case BinaryFunction::kEqual:
      return "equal";
    case BinaryFunction::kNotEqual:
      return "not_equal";
    case BinaryFunction::kLess:
      return "less";
    case BinaryFunction::kLessOrEqual:
      return "less_or_equal";
    case BinaryFunction::kGreater:
      return "greater";
    case BinaryFunction::kGreaterOrEqual:
      return "greater_or_equal";
    case BinaryFunction::kAnd:
      return "and";
    case BinaryFunction::kOr:
      return "or";
    case BinaryFunction::kXor:
      return "xor";
    case BinaryFunction::kAtan2:
      return "atan2";
  }
  return "";
}

}  // namespace ckpt::network
