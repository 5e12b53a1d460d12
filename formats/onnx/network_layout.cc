// Operators that change the shape of values, or take and put parts of them.
#include <algorithm>
#include <array>
#include <utility>

#include "formats/onnx/network_step.h"

namespace ckpt::formats::onnx {
namespace {

using network::ElementKind;
using network::kNoValue;
using network::Sizes;
using network::ValueId;

Outcome Reshape(Step& step) {
  network::Reshape reshape;
  reshape.zero_copies = step.Int("allowzero", 0) == 0;
  if (step.opset() < 5) {
    reshape.shape = step.Ints("shape");
    return step.Yield(reshape, {step.Input(0)});
  }
  if (!step.Given(1)) return Cannot("it lacks its shape");
  return step.Yield(reshape, {step.Input(0), step.Input(1)});
}

// Two axes: those before `axis`, and the others.
Outcome Flatten(Step& step) {
  const std::int64_t axis = step.Int("axis", 1);
  const network::MergeAxes behind{axis, -1};
  if (axis == 1) return step.OfRank(2, step.Yield(behind, {step.Input(0)}));
  const ValueId merged = step.Inner(behind, {step.Input(0)});
  return step.OfRank(2, step.Yield(network::MergeAxes{0, -2}, {merged}));
}

Outcome Squeeze(Step& step) {
  if (step.opset() < 13) {
    return step.Yield(network::DropAxes{step.Ints("axes")}, {step.Input(0)});
  }
  return step.Yield(network::DropAxes{}, {step.Input(0), step.Input(1)});
}

Outcome Unsqueeze(Step& step) {
  if (step.opset() < 13) {
    return step.Yield(network::InsertAxes{step.Ints("axes")}, {step.Input(0)});
  }
  if (!step.Given(1)) return Cannot("it lacks its axes");
  return step.Yield(network::InsertAxes{}, {step.Input(0), step.Input(1)});
}

Outcome Transpose(Step& step) {
  return step.Yield(network::Transpose{step.Ints("perm")}, {step.Input(0)});
}

Outcome Concat(Step& step) {
  for (std::size_t i = 0; i < step.inputs().size(); ++i) {
    if (!step.Given(i)) return Cannot("it lacks an operand");
  }
  if (!step.Has("axis") && step.opset() >= 4) return Cannot("it has no axis");
  return step.Yield(network::Concatenate{step.Int("axis", 1)}, step.inputs());
}

// The sizes: an attribute, an operand from 13 on (and in 1), or none: equal parts.
Outcome Split(Step& step) {
  network::Split split;
  split.axis = step.Int("axis", 0);
  const std::size_t parts = step.OutputCount();
  if (parts == 0) return Cannot("it yields nothing");
  if (step.opset() < 13) split.sizes = step.Ints("split");
  if (step.opset() >= 18 && step.Has("num_outputs") &&
      step.Int("num_outputs", 0) != static_cast<std::int64_t>(parts)) {
    return Cannot("it names fewer parts than it yields");
  }
  const bool has_operand = step.opset() >= 13 || step.opset() == 1;
  return step.YieldMany(split, {step.Input(0), has_operand ? step.Input(1) : kNoValue}, parts);
}

Outcome Slice(Step& step) {
  if (step.opset() >= 10) {
    if (!step.Given(1) || !step.Given(2)) return Cannot("it lacks an operand");
    return step.Yield(network::Slice{},
                      {step.Input(0), step.Input(1), step.Input(2), step.Input(3), step.Input(4)});
  }
  network::Slice slice;
  slice.axes = step.Ints("axes");
  slice.begin = step.Ints("starts");
  slice.end = step.Ints("ends");
  return step.Yield(slice, {step.Input(0)});
}

std::optional<network::Pad::Mode> PadModeOf(const std::string& word) {
  using Mode = network::Pad::Mode;
  if (word == "constant") return Mode::kConstant;
  if (word == "reflect") return Mode::kReflect;
  if (word == "edge") return Mode::kEdge;
  if (word == "wrap") return Mode::kWrap;
  return std::nullopt;
}

Outcome Pad(Step& step) {
  network::Pad pad;
  const auto mode = PadModeOf(step.Text("mode", "constant"));
  if (!mode) return Cannot("its mode is not known");
  pad.mode = *mode;
  if (step.opset() >= 11) {
    if (!step.Given(1)) return Cannot("it lacks its amounts");
    return step.Yield(pad, {step.Input(0), step.Input(1), step.Input(2), step.Input(3)});
  }
  const Sizes amounts = step.Ints(step.opset() < 2 ? "paddings" : "pads");
  if (amounts.size() % 2 != 0) return Cannot("its amounts are no pairs");
  const auto middle = amounts.begin() + static_cast<std::ptrdiff_t>(amounts.size() / 2);
  pad.before.assign(amounts.begin(), middle);
  pad.after.assign(middle, amounts.end());
  pad.value = step.Float("value", 0.0F);
  return step.Yield(pad, {step.Input(0)});
}

Outcome Expand(Step& step) {
  if (!step.Given(1)) return Cannot("it lacks its shape");
  return step.Yield(network::BroadcastTo{}, {step.Input(0), step.Input(1)});
}

Outcome Tile(Step& step) {
  if (step.opset() < 6) return Cannot("in this operator set it repeats along one axis");
  if (!step.Given(1)) return Cannot("it lacks its counts");
  return step.Yield(network::Tile{}, {step.Input(0), step.Input(1)});
}

Outcome DepthToSpace(Step& step) {
  network::SpaceAndDepth blocks;
  blocks.block = step.Int("blocksize", 0);
  blocks.channel_axis = 1;
  const std::string mode = step.Text("mode", "DCR");
  if (mode != "DCR" && mode != "CRD") return Cannot("its mode is not known");
  using Order = network::SpaceAndDepth::Order;
  blocks.order = mode == "DCR" ? Order::kBlockFirst : Order::kChannelFirst;
  return step.Yield(blocks, {step.Input(0)});
}

Outcome SpaceToDepth(Step& step) {
  network::SpaceAndDepth blocks;
  blocks.to_space = false;
  blocks.block = step.Int("blocksize", 0);
  blocks.channel_axis = 1;
  return step.Yield(blocks, {step.Input(0)});
}

constexpr std::array kLayoutOperators = {
    OperatorRule{"Reshape", Reshape},
    OperatorRule{"Flatten", Flatten},
    OperatorRule{"Squeeze", Squeeze},
    OperatorRule{"Unsqueeze", Unsqueeze},
    OperatorRule{"Transpose", Transpose},
    OperatorRule{"Concat", Concat},
    OperatorRule{"Split", Split},
    OperatorRule{"Slice", Slice},
    OperatorRule{"Pad", Pad},
    OperatorRule{"Expand", Expand},
    OperatorRule{"Tile", Tile},
    OperatorRule{"DepthToSpace", DepthToSpace},
    OperatorRule{"SpaceToDepth", SpaceToDepth},
};

}  // namespace

std::span<const OperatorRule> LayoutOperators() { return kLayoutOperators; }

}  // namespace ckpt::formats::onnx
