// Normalisations.
#include <array>
#include <utility>

#include "formats/onnx/network_step.h"

namespace ckpt::formats::onnx {
namespace {

using network::BinaryFunction;
using network::kNoValue;
using network::Sizes;
using network::UnaryFunction;
using network::ValueId;

// is_test before 7; the number of outputs before 14, also where is_test says nothing; then an
// attribute.
bool Trains(const Step& step) {
  if (step.opset() >= 14) return step.Int("training_mode", 0) != 0;
  return step.OutputCount() > 1 && (step.opset() >= 7 || step.Int("is_test", 0) == 0);
}

// Before 9, each element of an example may have parameters of its own.
Outcome NormalizePerElement(Step& step, double epsilon) {
  const ValueId centred = step.Inner(BinaryFunction::kSubtract, step.Input(0), step.Input(3));
  const ValueId safe = step.Inner(UnaryFunction::kLinear, step.Input(4), 1, epsilon);
  const ValueId deviation = step.Inner(UnaryFunction::kSqrt, safe);
  const ValueId scaled =
      step.Inner(BinaryFunction::kMultiply, step.Inner(BinaryFunction::kDivide, centred, deviation),
                 step.Input(1));
  return step.Yield(network::Binary{BinaryFunction::kAdd}, {scaled, step.Input(2)});
}

// What becomes of a moving statistic: old * momentum + that of the batch * (1 - momentum).
ValueId Moved(Step& step, std::size_t old, network::Reduction::Kind kind, double momentum) {
  network::Reduction reduction;
  reduction.kind = kind;
  reduction.keep = false;
  for (std::int64_t axis = 0; axis < *step.RankOf(step.Input(0)); ++axis) {
    if (axis != 1) reduction.axes.listed.push_back(axis);
  }
  const ValueId kept = step.Inner(UnaryFunction::kLinear, step.Input(old), momentum, 0);
  const ValueId of_batch = step.Inner(reduction, {step.Input(0)});
  return step.Inner(BinaryFunction::kAdd, kept,
                    step.Inner(UnaryFunction::kLinear, of_batch, 1 - momentum, 0));
}

Outcome BatchNormalization(Step& step) {
  for (std::size_t i = 0; i < 5; ++i) {
    if (!step.Given(i)) return Cannot("it lacks an operand");
  }
  const double epsilon = step.Float("epsilon", 1e-5F);
  const bool of_batch = Trains(step);
  if (step.opset() < 9 && step.Int("spatial", 1) == 0) {
    if (of_batch) return Cannot("it has statistics of its batch for each element");
    return NormalizePerElement(step, epsilon);
  }
  network::BatchNormalization norm;
  norm.axis = 1;
  norm.epsilon = epsilon;
  norm.of_batch = of_batch;
  norm.momentum = step.Float("momentum", 0.9F);
  auto outcome =
      step.Yield(norm, {step.Input(0), step.Input(1), step.Input(2), step.Input(3), step.Input(4)});
  if (outcome && of_batch && step.opset() >= 14 && step.OutputCount() > 1 &&
      step.RankOf(step.Input(0))) {
    outcome->push_back(Moved(step, 3, network::Reduction::Kind::kMean, *norm.momentum));
    outcome->push_back(Moved(step, 4, network::Reduction::Kind::kVariance, *norm.momentum));
  }
  return outcome;
}

Outcome InstanceNormalization(Step& step) {
  network::GroupNormalization norm;
  norm.channel_axis = 1;
  norm.epsilon = step.Float("epsilon", 1e-5F);
  return step.Yield(norm, {step.Input(0), step.Input(1), step.Input(2)});
}

// [G] as [C]: each group's for all of its channels.
ValueId SpreadOverGroups(Step& step, ValueId of_groups, std::int64_t groups,
                         std::int64_t channels) {
  const ValueId column = step.Inner(network::InsertAxes{{1}}, {of_groups});
  const ValueId all = step.Inner(network::BroadcastTo{{groups, channels / groups}}, {column});
  return step.Inner(network::Reshape{{channels}}, {all});
}

Outcome GroupNormalization(Step& step) {
  network::GroupNormalization norm;
  norm.groups = step.Int("num_groups", 0);
  norm.channel_axis = 1;
  norm.epsilon = step.Float("epsilon", 1e-5F);
  if (norm.groups < 1) return Cannot("it has no num_groups");
  ValueId scale = step.Input(1), offset = step.Input(2);
  if (step.opset() < 21) {  // scale and offset are those of groups
    const network::PartialShape& shape = step.ShapeOf(step.Input(0));
    const std::int64_t channels = shape && shape->size() > 1 ? (*shape)[1] : network::kUnknownSize;
    if (channels < 1 || channels % norm.groups != 0) {
      return Cannot("it has parameters of groups, of how many channels is not known");
    }
    scale = SpreadOverGroups(step, scale, norm.groups, channels);
    offset = SpreadOverGroups(step, offset, norm.groups, channels);
  }
  return step.Yield(norm, {step.Input(0), scale, offset});
}

// The axes from `axis` to the last; absent: the rank is not known.
std::optional<Sizes> AxesFrom(const Step& step, std::int64_t axis) {
  if (axis >= 0) {
    const auto rank = step.RankOf(step.Input(0));
    if (!rank) return std::nullopt;
    axis -= *rank;
  }
  if (axis >= 0 || axis < -254) return std::nullopt;
  Sizes axes;
  for (; axis < 0; ++axis) axes.push_back(axis);
  return axes;
}

Outcome LayerNormalization(Step& step) {
  const auto axes = AxesFrom(step, step.Int("axis", -1));
  if (!axes) return Cannot("of how many axes its data is, is not known");
  network::LayerNormalization norm;
  norm.axes = *axes;
  norm.epsilon = step.Float("epsilon", 1e-5F);
  norm.root_mean_square = step.op_type() != "LayerNormalization";
  return step.Yield(norm, {step.Input(0), step.Input(1), step.Input(2)});
}

Outcome Lrn(Step& step) {
  network::LocalResponseNormalization norm;
  norm.size = step.Int("size", 0);
  if (norm.size < 1) return Cannot("it has no size");
  norm.channel_axis = 1;
  norm.alpha = step.Float("alpha", 1e-4F) / static_cast<double>(norm.size);
  norm.beta = step.Float("beta", 0.75F);
  norm.bias = step.Float("bias", 1.0F);
  return step.Yield(norm, {step.Input(0)});
}

Outcome LpNormalization(Step& step) {
  const std::int64_t p = step.Int("p", 2);
  if (p != 1 && p != 2) return Cannot("its norm is neither the first nor the second");
  network::Reduction norm;
  norm.kind = p == 1 ? network::Reduction::Kind::kNorm1 : network::Reduction::Kind::kNorm2;
  norm.axes.listed = {step.Int("axis", -1)};
  const ValueId length = step.Inner(norm, {step.Input(0)});
  return step.Yield(network::Binary{BinaryFunction::kDivide}, {step.Input(0), length});
}

// (x - mean) / (sqrt(variance) + 1e-9)
Outcome MeanVarianceNormalization(Step& step) {
  network::Axes axes;
  axes.listed = step.Ints("axes");
  if (step.opset() < 9 && step.Has("across_channels")) {
    return Cannot("how it is to be read is not known in this operator set");
  }
  if (axes.listed.empty()) axes.listed = {0, 2, 3};
  const ValueId x = step.Input(0);
  const ValueId mean = step.Inner(network::Reduction{network::Reduction::Kind::kMean, axes}, {x});
  const ValueId variance =
      step.Inner(network::Reduction{network::Reduction::Kind::kVariance, axes}, {x});
  const ValueId deviation = step.Inner(UnaryFunction::kSqrt, variance);
  const ValueId safe = step.Inner(UnaryFunction::kLinear, deviation, 1, 1e-9);
  const ValueId centred = step.Inner(BinaryFunction::kSubtract, x, mean);
  return step.Yield(network::Binary{BinaryFunction::kDivide}, {centred, safe});
}

constexpr std::array<OperatorRule, 9> kNormalizationOperators = {{
    {"BatchNormalization", BatchNormalization},
    {"InstanceNormalization", InstanceNormalization},
    {"GroupNormalization", GroupNormalization},
    {"LayerNormalization", LayerNormalization},
    {"RMSNormalization", LayerNormalization},
    {"SimplifiedLayerNormalization", LayerNormalization},
    {"LRN", Lrn},
    {"LpNormalization", LpNormalization},
    {"MeanVarianceNormalization", MeanVarianceNormalization},
}};

}  // namespace

std::span<const OperatorRule> NormalizationOperators() { return kNormalizationOperators; }

}  // namespace ckpt::formats::onnx
