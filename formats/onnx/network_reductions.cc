// Sums, extremes, and what else makes few elements of many.
#include <array>
#include <utility>

#include "formats/onnx/network_step.h"

namespace ckpt::formats::onnx {
namespace {

using network::Reduction;
using network::Sizes;
using network::ValueId;

// Their axes became an operand in operator set 13 (ReduceSum) or 18.
bool HasAxesOperand(const Step& step) {
  return step.opset() >= (step.op_type() == "ReduceSum" ? 13 : 18);
}

// Does one element reduce to itself?
bool KeepsSingleElements(Reduction::Kind kind) {
  return kind == Reduction::Kind::kMean || kind == Reduction::Kind::kSum ||
         kind == Reduction::Kind::kMaximum || kind == Reduction::Kind::kMinimum ||
         kind == Reduction::Kind::kProduct || kind == Reduction::Kind::kLogSumExp;
}

template <Reduction::Kind kind>
Outcome Reduce(Step& step) {
  Reduction reduction;
  reduction.kind = kind;
  reduction.keep = step.Int("keepdims", 1) != 0;
  if (!HasAxesOperand(step)) {
    reduction.axes.listed = step.Ints("axes");
    return step.Yield(reduction, {step.Input(0)});
  }
  reduction.none_is_identity = step.Int("noop_with_empty_axes", 0) != 0;
  if (reduction.none_is_identity && !KeepsSingleElements(kind)) {
    const auto axes = step.Integers(1);
    if (!step.Given(1) || !axes || axes->empty()) {
      return Cannot("what it yields without axes differs between versions");
    }
  }
  return step.Yield(reduction, {step.Input(0), step.Input(1)});
}

template <bool largest>
Outcome Arg(Step& step) {
  network::ArgExtreme extreme;
  extreme.axis = step.Int("axis", 0);
  extreme.largest = largest;
  extreme.last = step.Int("select_last_index", 0) != 0;
  extreme.keep = step.Int("keepdims", 1) != 0;
  return step.Yield(extreme, {step.Input(0)});
}

// Before 13 the axes from `axis` on are one.
template <bool log>
Outcome Softmax(Step& step) {
  network::Softmax softmax;
  softmax.merged = step.opset() < 13;
  softmax.axis = step.Int("axis", softmax.merged ? 1 : -1);
  softmax.log = log;
  return step.Yield(softmax, {step.Input(0)});
}

Outcome CumSum(Step& step) {
  const auto axis = step.Integers(1);
  if (!axis || axis->size() != 1) return Cannot("its axis depends on the data");
  network::CumulativeSum sum;
  sum.axis = axis->front();
  sum.exclusive = step.Int("exclusive", 0) != 0;
  sum.backward = step.Int("reverse", 0) != 0;
  return step.Yield(sum, {step.Input(0)});
}

constexpr std::array kReductionOperators = {
    OperatorRule{"ReduceMean", Reduce<Reduction::Kind::kMean>},
    OperatorRule{"ReduceSum", Reduce<Reduction::Kind::kSum>},
    OperatorRule{"ReduceMax", Reduce<Reduction::Kind::kMaximum>},
    OperatorRule{"ReduceMin", Reduce<Reduction::Kind::kMinimum>},
    OperatorRule{"ReduceProd", Reduce<Reduction::Kind::kProduct>},
    OperatorRule{"ReduceL1", Reduce<Reduction::Kind::kNorm1>},
    OperatorRule{"ReduceL2", Reduce<Reduction::Kind::kNorm2>},
    OperatorRule{"ReduceSumSquare", Reduce<Reduction::Kind::kSumOfSquares>},
    OperatorRule{"ReduceLogSum", Reduce<Reduction::Kind::kLogSum>},
    OperatorRule{"ReduceLogSumExp", Reduce<Reduction::Kind::kLogSumExp>},
    OperatorRule{"ArgMax", Arg<true>},
    OperatorRule{"ArgMin", Arg<false>},
    OperatorRule{"Softmax", Softmax<false>},
    OperatorRule{"LogSoftmax", Softmax<true>},
    OperatorRule{"CumSum", CumSum},
};

}  // namespace

std::span<const OperatorRule> ReductionOperators() { return kReductionOperators; }

}  // namespace ckpt::formats::onnx
