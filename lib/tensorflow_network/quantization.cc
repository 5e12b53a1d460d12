// Fake quantisation: the range is nudged so that 0 is one of its steps.
// Source: tensorflow/core/kernels/fake_quant_ops_functor.h. Computed in float32, as there: whether
// the zero point rounds up or down decides values.
#include <algorithm>
#include <cmath>

#include "tensorflow_network/node.h"

namespace ckpt::tf_network {
namespace {

using network::Binary;
using network::BinaryFunction;
using network::Unary;
using network::UnaryFunction;

struct Nudged {
  float low = 0, high = 0, scale = 0, inverse = 0, zero = 0;
};

Nudged Nudge(float low, float high, float least, float most) {
  Nudged nudged;
  if (low == 0 && high == 0) return nudged;  // all is 0
  nudged.scale = (high - low) / (most - least);
  nudged.inverse = (most - least) / (high - low);
  const float zero = least - low / nudged.scale;
  const float rounded = zero < least ? least : zero > most ? most : std::round(zero);
  nudged.low = (least - rounded) * nudged.scale;
  nudged.high = (most - rounded) * nudged.scale;
  nudged.zero = std::floor(-nudged.low * nudged.inverse + 0.5F);
  return nudged;
}

// One range for all, or one for each channel of the last axis.
Outcome Quantized(Node& node, const std::vector<double>& low, const std::vector<double>& high,
                  const Sizes& shape) {
  const std::int64_t bits = node.Int("num_bits", 8);
  if (low.size() != high.size() || low.empty() || bits < 2 || bits > 16) {
    return NotUnderstood("its range");
  }
  const float least = node.Bool("narrow_range", false) ? 1 : 0;
  const float most = static_cast<float>((1 << bits) - 1);
  network::InlineConstant lows{shape, {}}, highs{shape, {}}, scales{shape, {}}, inverse{shape, {}},
      zeros{shape, {}};
  for (std::size_t i = 0; i < low.size(); ++i) {
    const auto from = static_cast<float>(low[i]), to = static_cast<float>(high[i]);
    if (!(from < to || (from == 0 && to == 0))) return NotUnderstood("an empty range");
    const Nudged nudged = Nudge(from, to, least, most);
    lows.elements.push_back(nudged.low);
    highs.elements.push_back(nudged.high);
    scales.elements.push_back(nudged.scale);
    inverse.elements.push_back(nudged.inverse);
    zeros.elements.push_back(nudged.zero - 0.5);
  }
  NetworkBuilder& builder = node.builder();
  const auto step = [&](BinaryFunction function, ValueId x, const network::InlineConstant& by) {
    return node.Add(Binary{function}, {x, builder.AddInline(by)});
  };
  ValueId x = step(BinaryFunction::kMinimum, node.Input(0), highs);
  x = step(BinaryFunction::kMaximum, x, lows);
  x = step(BinaryFunction::kSubtract, x, lows);
  x = step(BinaryFunction::kMultiply, x, inverse);
  x = step(BinaryFunction::kSubtract, x, zeros);  // and half a step more
  x = node.Add(Unary{UnaryFunction::kFloor}, {x});
  return node.Yield(Binary{BinaryFunction::kMultiply}, {x, builder.AddInline(scales)});
}

Outcome ByArguments(Node& node) {
  return Quantized(node, {node.Real("min", -6)}, {node.Real("max", 6)}, {});
}
Outcome ByOperands(Node& node) {
  const auto low = node.Reals(1), high = node.Reals(2);
  if (!low || !high || low->size() != 1) return NotUnderstood("a range that the data decide");
  return Quantized(node, *low, *high, {});
}
Outcome ByChannel(Node& node) {
  const auto low = node.Reals(1), high = node.Reals(2);
  if (!low || !high) return NotUnderstood("a range that the data decide");
  return Quantized(node, *low, *high, {static_cast<std::int64_t>(low->size())});
}

constexpr Row kQuantizationRows[] = {
    {"FakeQuantWithMinMaxArgs", 1, ByArguments},
    {"FakeQuantWithMinMaxVars", 3, ByOperands},
    {"FakeQuantWithMinMaxVarsPerChannel", 3, ByChannel},
};

}  // namespace

std::span<const Row> QuantizationRows() { return kQuantizationRows; }

}  // namespace ckpt::tf_network
