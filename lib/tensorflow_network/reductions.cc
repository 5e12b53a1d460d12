// Source: tensorflow/core/ops/math_ops.cc. A list of axes that is empty means none of them.
#include "tensorflow_network/node.h"

namespace ckpt::tf_network {
namespace {

using network::Axes;
using network::Reduction;
using network::Unary;
using network::UnaryFunction;

template <Reduction::Kind kKind>
Outcome Reduce(Node& node) {
  Reduction reduction;
  reduction.kind = kKind;
  reduction.keep = node.Bool("keep_dims", false);
  reduction.none_is_identity = true;
  const auto axes = node.Integers(1);
  if (!axes) return node.Yield(reduction, {node.Input(0), node.Input(1)});
  // All of them in their order is what "all" is written as where the rank is known.
  reduction.axes.listed = *axes;
  return node.Yield(reduction, {node.Input(0)});
}

Outcome L2Loss(Node& node) {
  Reduction reduction;
  reduction.kind = Reduction::Kind::kSumOfSquares;
  reduction.axes.which = Axes::Which::kAll;
  reduction.keep = false;
  return node.Yield(Unary{UnaryFunction::kLinear, 0.5, 0}, {node.Add(reduction, {node.Input(0)})});
}

template <bool kLargest>
Outcome ArgExtremeOf(Node& node) {
  const auto axis = node.Integer(1);
  if (!axis) return NotUnderstood("an axis that the data decide");
  return node.Yield(network::ArgExtreme{*axis, kLargest, false, false}, {node.Input(0)});
}

Outcome Cumsum(Node& node) {
  const auto axis = node.Integer(1);
  if (!axis) return NotUnderstood("an axis that the data decide");
  const network::CumulativeSum sum{*axis, node.Bool("exclusive", false),
                                   node.Bool("reverse", false)};
  return node.Yield(sum, {node.Input(0)});
}

constexpr Row kReductionRows[] = {
    {"All", 2, Reduce<Reduction::Kind::kAll>},
    {"Any", 2, Reduce<Reduction::Kind::kAny>},
    {"ArgMax", 2, ArgExtremeOf<true>},
    {"ArgMin", 2, ArgExtremeOf<false>},
    {"Cumsum", 2, Cumsum},
    {"EuclideanNorm", 2, Reduce<Reduction::Kind::kNorm2>},
    {"L2Loss", 1, L2Loss},
    {"Max", 2, Reduce<Reduction::Kind::kMaximum>},
    {"Mean", 2, Reduce<Reduction::Kind::kMean>},
    {"Min", 2, Reduce<Reduction::Kind::kMinimum>},
    {"Prod", 2, Reduce<Reduction::Kind::kProduct>},
    {"Sum", 2, Reduce<Reduction::Kind::kSum>},
};

}  // namespace

std::span<const Row> ReductionRows() { return kReductionRows; }

}  // namespace ckpt::tf_network
