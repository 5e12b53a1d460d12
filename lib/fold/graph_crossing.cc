#include "fold/graph_crossing.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "ckpt/layer_computation.h"
#include "ckpt/network/operation_table.h"
#include "fold/channel_words.h"
#include "fold/reason.h"

namespace ckpt {
namespace {

using network::ChannelPlaces;
using network::ChannelRule;
using network::OperandRule;
using network::OperandShape;
using network::Passes;
using network::Sizes;
using network::Stops;

// One after another; Unknown alone where that is not known. `rank`: of what is read.
std::vector<network::Computation> ComputationsOf(const Layer& layer,
                                                 std::optional<std::int64_t> rank) {
  if (IsBatchNorm(layer) && !layer.axis) {
    return {network::Unknown{layer.op_type, "its axis is not known"}};
  }
  if (layer.depthwise_first) return {*layer.depthwise_first, layer.computation};
  // Keras moves the channels last first where it is told that they come first.
  if (!IsFlatten(layer) || layer.axis != 1 || !rank || *rank < 3) return {layer.computation};
  Sizes order(static_cast<std::size_t>(*rank));
  std::iota(order.begin(), order.end(), 0);
  order.erase(order.begin() + 1);
  order.push_back(1);
  return {network::Transpose{order}, layer.computation};
}

void AddBounds(const Passes& passes, const Layer& layer, GraphTarget& target) {
  // Where another operand takes the shift, this one has none.
  std::string shift = target.adds_shift ? WhyNoShift(passes.shift, layer) : std::string();
  std::string scale = WhyNotNegative(passes.scale, layer);
  if (!shift.empty()) target.needs_zero_shift = std::move(shift);
  if (!scale.empty()) target.needs_scale_not_negative = std::move(scale);
}

// All axes but the batch become one.
bool FlattensExamples(const network::Computation& computation) {
  if (const auto* merge = std::get_if<network::MergeAxes>(&computation)) {
    return merge->first == 1 && merge->last == -1;
  }
  const auto* reshape = std::get_if<network::Reshape>(&computation);
  return reshape != nullptr && reshape->of_example && reshape->shape.size() == 1;
}

// The axes that a demand on any of them may be on.
Sizes AnyAxis(const Layer& layer, const std::vector<OperandShape>& operands, std::size_t operand) {
  Sizes axes;
  if (layer.axis) axes.push_back(*layer.axis);
  const auto& shape = operands[operand].shape;
  if (!shape) axes.insert(axes.end(), {-1, 1});
  for (std::size_t i = 1; shape && i < shape->size(); ++i) {
    axes.push_back(static_cast<std::int64_t>(i));
  }
  return axes;
}

// Which of the axes the demand is on decides itself at a step that not all of them pass.
OperandRule Behind(const network::Computation& computation, std::size_t operand,
                   const std::vector<OperandShape>& operands, const Layer& layer, Demand& demand) {
  if (!demand.any_axis) return RuleBehind(computation, operand, operands, demand.axis);
  std::optional<OperandRule> found, stopped;
  for (const std::int64_t axis : AnyAxis(layer, operands, operand)) {
    const OperandRule one = RuleBehind(computation, operand, operands, axis);
    const bool passes = std::holds_alternative<Passes>(one.rule);
    std::optional<OperandRule>& kept = passes ? found : stopped;
    if (!kept) kept = one;
  }
  if (found && stopped) demand.any_axis = false;
  return found ? *found : stopped.value_or(OperandRule{});
}

}  // namespace

GraphCrossing::GraphCrossing(const Manifest& manifest)
    : manifest_(manifest), graph_(*manifest.graph), shapes_(graph_.values.size()) {
  for (std::size_t i = 0; i < graph_.values.size(); ++i) {
    const Value& value = graph_.values[i];
    shapes_[i] = value.shape;
    const bool ranked = !value.shape && value.rank && *value.rank >= 0 && *value.rank < 255;
    if (ranked) shapes_[i] = Sizes(static_cast<std::size_t>(*value.rank), network::kUnknownSize);
  }
  for (std::size_t i = 0; i < graph_.nodes.size(); ++i) {
    const auto node = static_cast<NodeId>(i);
    network::PartialShape& made = shapes_[graph_.nodes[i].output];
    if (!made && IsUnderstood(node)) made = MadeBy(StepsOf(node));
  }
}

std::optional<std::int64_t> GraphCrossing::RankOf(ValueId value) const {
  if (!shapes_[value]) return std::nullopt;
  return static_cast<std::int64_t>(shapes_[value]->size());
}

void GraphCrossing::AddKernel(const Layer& layer, const char* name, Operands& operands) const {
  const auto kernel = layer.tensors.find(name);
  if (operands.size() != 1 || !IsLinear(layer) || kernel == layer.tensors.end()) return;
  const auto& dims = manifest_.tensors[kernel->second.index].shape.dims();
  operands.emplace_back().shape = Sizes(dims.begin(), dims.end());
}

std::vector<GraphCrossing::Step> GraphCrossing::StepsOf(NodeId node) const {
  const Node& call = graph_.nodes[node];
  const Layer& layer = LayerOf(node);
  const auto rank = call.inputs.empty() ? std::nullopt : RankOf(call.inputs[0]);
  std::vector<Step> steps;
  for (auto& computation : ComputationsOf(layer, rank)) {
    Operands operands(steps.empty() ? call.inputs.size() : 1);
    for (std::size_t i = 0; i < operands.size(); ++i) {
      operands[i].shape = steps.empty() ? shapes_[call.inputs[i]] : MadeBy(steps);
    }
    const bool depthwise = steps.empty() && layer.depthwise_first;
    AddKernel(layer, depthwise ? "depthwise_kernel" : "kernel", operands);
    while (operands.size() < network::RowOf(computation).least_operands) {
      operands.emplace_back().given = false;  // a parameter that the graph does not tell
    }
    steps.push_back({std::move(computation), std::move(operands)});
  }
  return steps;
}

network::PartialShape GraphCrossing::MadeBy(const std::vector<Step>& steps) const {
  const Step& last = steps.back();
  const auto shapes = network::ResultShapes(last.computation, last.operands, 1);
  return shapes ? (*shapes)[0] : std::nullopt;
}

bool GraphCrossing::IsUnderstood(NodeId node) const {
  const Layer& layer = LayerOf(node);
  return !IsUnknown(layer) && (!IsBatchNorm(layer) || layer.axis);
}

bool GraphCrossing::IsIdentity(NodeId node) const { return ComputesIdentity(LayerOf(node)); }

Error GraphCrossing::Stopped(NodeId node, const Stops& stops, std::int64_t axis,
                             ValueId value) const {
  const Layer& layer = LayerOf(node);
  const auto own = IsDense(layer) ? std::optional<std::int64_t>(-1) : layer.axis;
  if (!own) return Refusal(WhyStopped(stops.reason, layer));
  const std::string pair = std::to_string(axis) + " and the channel axis " + std::to_string(*own) +
                           " of " + Described(layer);
  switch (network::CompareAxes(axis, *own, RankOf(value))) {
    case network::AxisMatch::kDifferent:
      return Refusal("the axis " + pair + " are different ones");
    case network::AxisMatch::kUnknown:
      return Refusal("the axis " + pair + " cannot be compared: the rank is not known");
    case network::AxisMatch::kSame:
      break;
  }
  return Refusal(WhyStopped(stops.reason, layer));
}

Result<network::OtherOperands> GraphCrossing::Back(NodeId node, std::size_t input,
                                                   Demand& demand) const {
  const Layer& layer = LayerOf(node);
  const std::vector<Step> steps = StepsOf(node);
  auto others = network::OtherOperands::kUnchanged;
  for (std::size_t i = steps.size(); i-- > 0;) {
    const Step& step = steps[i];
    const std::int64_t axis = demand.axis;
    const OperandRule behind =
        Behind(step.computation, i == 0 ? input : 0, step.operands, layer, demand);
    const auto* passes = std::get_if<Passes>(&behind.rule);
    const bool whole = passes != nullptr && (passes->places == ChannelPlaces::kSame ||
                                             passes->places == ChannelPlaces::kAmong);
    if (!whole && FlattensExamples(step.computation) &&
        network::CompareAxes(demand.axis, 1, 2) == network::AxisMatch::kSame) {
      // The batch norm acts on every flattened element, a layer above it on channels. That the
      // counts agree, which is checked at the end, leaves one element per channel.
      demand.any_axis = true;
      continue;
    }
    if (!whole) {
      const auto* stops = std::get_if<Stops>(&behind.rule);
      const Stops lost = {network::StopReason::kAxisLost};
      return Fail(Stopped(node, stops ? *stops : lost, axis, graph_.nodes[node].output));
    }
    demand.axis = behind.axis;
    others = passes->others;
    // Of several addends the first one takes the shift.
    const bool scaled = others == network::OtherOperands::kSameScale && input > 0;
    if (scaled) demand.target.adds_shift = false;
    AddBounds(*passes, layer, demand.target);
  }
  return others;
}

Status GraphCrossing::Forward(NodeId node, Demand& demand) const {
  const Layer& layer = LayerOf(node);
  const ValueId input = graph_.nodes[node].inputs[0];
  for (const Step& step : StepsOf(node)) {
    const ChannelRule rule = RuleOf(step.computation, 0, step.operands, demand.axis);
    const auto* passes = std::get_if<Passes>(&rule);
    if (passes == nullptr) {
      const auto* stops = std::get_if<Stops>(&rule);
      const Stops mixes = {network::StopReason::kMixes};
      return Fail(Stopped(node, stops ? *stops : mixes, demand.axis, input));
    }
    if (passes->places == ChannelPlaces::kFastest) {
      demand.target.order = ChannelOrder::kRepeatedInner;
    } else if (passes->places == ChannelPlaces::kSlowest) {
      demand.target.order = ChannelOrder::kRepeatedOuter;
    } else if (passes->places != ChannelPlaces::kSame) {
      return Refuse(WhyStopped(network::StopReason::kAxisLost, layer));
    }
    demand.axis = passes->axis;
    AddBounds(*passes, layer, demand.target);
  }
  return {};
}

Status GraphCrossing::CheckMade(NodeId node, const Demand& demand) const {
  if (demand.any_axis) return {};
  const auto axis = network::ParameterAxis(StepsOf(node).back().computation);
  const Layer& layer = LayerOf(node);
  if (!axis) return Refuse("the channel axis of " + Described(layer) + " is not known");
  const ValueId value = graph_.nodes[node].output;
  if (network::CompareAxes(demand.axis, *axis, RankOf(value)) == network::AxisMatch::kSame) {
    return {};
  }
  return Fail(Stopped(node, {network::StopReason::kMixes}, demand.axis, value));
}

Status GraphCrossing::Absorb(NodeId node, Demand& demand) const {
  const Step step = StepsOf(node).back();
  const ChannelRule rule = RuleOf(step.computation, 0, step.operands, demand.axis);
  const auto* absorbed = std::get_if<network::Absorbed>(&rule);
  const Layer& layer = LayerOf(node);
  if (absorbed == nullptr) {
    const auto* stops = std::get_if<Stops>(&rule);
    const Stops mixes = {network::StopReason::kMixes};
    return Fail(Stopped(node, stops ? *stops : mixes, demand.axis, graph_.nodes[node].inputs[0]));
  }
  std::string shift = WhyNoShift(absorbed->shift, layer);
  if (!shift.empty()) demand.target.needs_zero_shift = std::move(shift);
  return {};
}

}  // namespace ckpt
