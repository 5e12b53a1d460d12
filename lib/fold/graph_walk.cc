#include "fold/graph_walk.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>
#include <utility>

#include "ckpt/layer_computation.h"
#include "fold/channel_view.h"
#include "fold/channel_words.h"
#include "fold/reason.h"

namespace ckpt {
namespace {

// Bounds on one walk: graphs of hostile files may be long chains or deep trees of additions.
constexpr int kMaxDepth = 64;
constexpr std::size_t kMaxSteps = 100'000;
// Readers named in one reason: each of n readers of a value has a reason that lists them.
constexpr std::size_t kMaxNamedReaders = 8;

// "its bias is computed by \"expand\" (Expand)": a layer without that it would be a known one.
std::string ComputedTensors(const Layer& layer) {
  if (layer.fed_tensors.empty()) return {};
  const auto& [name, source] = *layer.fed_tensors.begin();
  return "its " + name + " is " + source;
}

Error LiesBetween(const Layer& layer) {
  const std::string why = ComputedTensors(layer);
  return Refusal(Described(layer) + " lies between" + (why.empty() ? "" : ", and " + why));
}

// One scale and one shift for each channel, folded or not.
bool IsAffine(const Layer& layer) { return IsBatchNorm(layer) || ScalesChannels(layer); }

}  // namespace

GraphWalk::GraphWalk(const Manifest& manifest)
    : manifest_(manifest),
      graph_(*manifest.graph),
      crossing_(manifest),
      folded_(graph_.layers.size(), false),
      calls_(graph_.layers.size()),
      behind_(graph_.values.size()) {
  std::iota(behind_.begin(), behind_.end(), ValueId{0});
  for (std::size_t i = 0; i < graph_.nodes.size(); ++i) {
    calls_[graph_.nodes[i].layer].push_back(static_cast<NodeId>(i));
  }
}

bool GraphWalk::IsIdentity(NodeId node) const {
  const Layer& layer = LayerOf(node);
  if (IsAffine(layer)) return folded_[graph_.nodes[node].layer];
  return crossing_.IsIdentity(node);
}

ValueId GraphWalk::BehindIdentities(ValueId value) const {
  ValueId end = value;
  while (behind_[end] != end) end = behind_[end];
  while (value != end) value = std::exchange(behind_[value], end);
  return end;
}

std::optional<std::size_t> GraphWalk::OutChannels(const Layer& layer) const {
  const char* name = IsBatchNorm(layer) ? "moving_mean" : IsAffine(layer) ? "gamma" : "kernel";
  const auto tensor = layer.tensors.find(name);
  if (tensor == layer.tensors.end()) return {};
  const Shape& shape = manifest_.tensors[tensor->second.index].shape;
  if (IsAffine(layer)) return shape.element_count();
  const auto views = ViewsOf(shape, layer.layout, layer.groups);
  if (!views) return {};
  return views->out_channels;
}

Status GraphWalk::CheckActivation(const Layer& layer) {
  if (IsLinearActivation(layer)) return {};
  const std::string activation = "the activation " + Quoted(layer.activation);
  return Refuse(activation + " of " + Quoted(layer.name) + " lies between");
}

// One input, and no activation behind what it computes.
Status GraphWalk::CheckPassable(NodeId node) const {
  const Layer& layer = LayerOf(node);
  CKPT_RETURN_IF_ERROR(CheckActivation(layer));
  if (graph_.nodes[node].inputs.size() != 1) return Fail(HasInputs(node));
  return CheckOneResult(node);
}

Status GraphWalk::CheckOneResult(NodeId node) const {
  const std::size_t others = graph_.nodes[node].others.size();
  if (others == 0) return {};
  return Refuse(Described(LayerOf(node)) + " yields " + std::to_string(others + 1) +
                " values that are read");
}

Error GraphWalk::HasInputs(NodeId node) const {
  return Refusal(Described(LayerOf(node)) + " has " +
                 std::to_string(graph_.nodes[node].inputs.size()) + " inputs");
}

// A batch norm whose gamma, for one, is no stored constant.
Status GraphWalk::CheckParameters(const Layer& layer) {
  if (layer.fed_tensors.empty()) return {};
  return Refuse(ComputedTensors(layer));
}

Status GraphWalk::CheckOnlyReader(ValueId id) const {
  const Value& value = graph_.values[id];
  if (!value.producer) return Refuse("its input comes from outside of the graph");
  CKPT_RETURN_IF_ERROR(CheckOneResult(*value.producer));
  if (value.consumers.size() == 1 && !value.is_model_output) return {};
  const std::string name = Quoted(LayerOf(*value.producer).name);
  if (value.is_model_output) {
    return Refuse("the output of " + name + " is an output of the model as well");
  }
  std::set<std::string> readers;
  std::size_t seen = 0;
  for (; seen < value.consumers.size() && readers.size() < kMaxNamedReaders; ++seen) {
    readers.insert(Quoted(LayerOf(value.consumers[seen]).name));
  }
  std::string list;
  for (const auto& reader : readers) list += (list.empty() ? "" : ", ") + reader;
  if (seen < value.consumers.size()) {
    list += " and " + std::to_string(value.consumers.size() - seen) + " more";
  }
  return Refuse("the output of " + name + " has " + std::to_string(value.consumers.size()) +
                " consumers: " + list);
}

Status GraphWalk::CheckCrossable(NodeId node, const Demand& demand) const {
  const Layer& layer = LayerOf(node);
  if (layer.is_input) return Refuse("its input is an input of the model");
  if (!crossing_.IsUnderstood(node)) return Fail(LiesBetween(layer));
  CKPT_RETURN_IF_ERROR(CheckActivation(layer));
  if (IsIdentity(node)) return {};
  if (IsBatchNorm(layer)) {
    return Refuse("the batch norm " + Quoted(layer.name) + ", which stays, lies between");
  }
  if (IsLinear(layer) || ScalesChannels(layer)) return Fail(LiesBetween(layer));
  if (demand.target.order != ChannelOrder::kSame) {
    return Refuse(Described(layer) + " lies between, after the channels were flattened");
  }
  return {};
}

Result<std::vector<GraphTarget>> GraphWalk::Combine(std::vector<Reached> reached) const {
  std::vector<GraphTarget> targets;
  std::map<LayerId, std::set<NodeId>> calls;
  for (const Reached& one : reached) {
    const std::string name = Quoted(graph_.layers[one.target.layer].name);
    const auto known = std::find_if(targets.begin(), targets.end(), [&](const GraphTarget& t) {
      return t.layer == one.target.layer;
    });
    if (known == targets.end()) {
      targets.push_back(one.target);
    } else if (*known != one.target) {
      return Refuse(name + " is called several times, and meets the batch norm in different ways");
    }
    calls[one.target.layer].insert(one.call);
  }
  for (const auto& [layer, nodes] : calls) {
    if (nodes.size() != calls_[layer].size()) {
      return Refuse(Quoted(graph_.layers[layer].name) + " is called " +
                    std::to_string(calls_[layer].size()) + " times, and only " +
                    std::to_string(nodes.size()) + " of the calls meet this batch norm");
    }
  }
  return targets;
}

Result<std::vector<GraphTarget>> GraphWalk::Backward(LayerId id, bool into_batch_norms) const {
  const Layer& layer = graph_.layers[id];
  CKPT_RETURN_IF_ERROR(CheckParameters(layer));
  if (!layer.axis) return Refuse("its axis is not known");
  const auto channels = OutChannels(layer);
  std::vector<Reached> reached;
  for (const NodeId call : calls_[id]) {
    CKPT_RETURN_IF_ERROR(CheckPassable(call));
    Demand demand;
    demand.axis = *layer.axis;
    CKPT_ASSIGN_OR_RETURN(const std::size_t width, WalkBack(graph_.nodes[call].inputs[0], demand,
                                                            into_batch_norms, 0, reached));
    if (width != channels) {
      return Refuse("what feeds it has " + std::to_string(width) + " channels, and it has " +
                    std::to_string(channels.value_or(0)));
    }
  }
  if (reached.empty()) return Refuse("the graph never calls it");
  return Combine(std::move(reached));
}

Result<std::size_t> GraphWalk::WalkBack(ValueId value, Demand demand, bool into_batch_norms,
                                        int depth, std::vector<Reached>& reached) const {
  if (depth > kMaxDepth) return Refuse("too many branches lie between");
  for (std::size_t steps = 0; steps < kMaxSteps; ++steps) {
    value = BehindIdentities(value);
    CKPT_RETURN_IF_ERROR(CheckOnlyReader(value));
    const NodeId node = *graph_.values[value].producer;
    const Layer& layer = LayerOf(node);
    if (IsLinear(layer) || (IsBatchNorm(layer) && into_batch_norms && !IsIdentity(node))) {
      return ReachBack(node, std::move(demand), reached);
    }
    CKPT_RETURN_IF_ERROR(CheckCrossable(node, demand));
    if (graph_.nodes[node].inputs.size() != 1) {
      return WalkBackBranches(node, demand, into_batch_norms, depth, reached);
    }
    if (!IsIdentity(node)) CKPT_RETURN_IF_ERROR(crossing_.Back(node, 0, demand));
    const ValueId input = graph_.nodes[node].inputs[0];
    const auto& before = graph_.values[input].producer;
    // Only ever towards earlier nodes, so that a graph that reads itself makes no circle of it.
    if (IsIdentity(node) && before && *before < node) behind_[value] = input;
    value = input;
  }
  return Refuse("too many layers lie between");
}

Result<std::size_t> GraphWalk::ReachBack(NodeId node, Demand demand,
                                         std::vector<Reached>& reached) const {
  const Layer& layer = LayerOf(node);
  CKPT_RETURN_IF_ERROR(CheckPassable(node));
  CKPT_RETURN_IF_ERROR(crossing_.CheckMade(node, demand));
  const auto channels = OutChannels(layer);
  if (!channels) return Refuse("the channels of " + Described(layer) + " are not known");
  demand.target.layer = graph_.nodes[node].layer;
  demand.target.channels = *channels;
  reached.push_back({node, std::move(demand.target)});
  return *channels;
}

// Several values become one: added up, joined, the larger taken.
Result<std::size_t> GraphWalk::WalkBackBranches(NodeId node, const Demand& demand,
                                                bool into_batch_norms, int depth,
                                                std::vector<Reached>& reached) const {
  using network::OtherOperands;
  const std::string name = Quoted(LayerOf(node).name);
  const std::vector<ValueId>& inputs = graph_.nodes[node].inputs;
  std::optional<std::size_t> width;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    Demand branch = demand;
    CKPT_ASSIGN_OR_RETURN(const OtherOperands others, crossing_.Back(node, i, branch));
    if (others == OtherOperands::kUnchanged) return Fail(HasInputs(node));
    const bool joined = others == OtherOperands::kOwnChannels;
    if (joined && branch.any_axis) return Refuse(Described(LayerOf(node)) + " lies between");
    if (joined) branch.target.first_channel += width.value_or(0);
    CKPT_ASSIGN_OR_RETURN(const std::size_t channels,
                          WalkBack(inputs[i], branch, into_batch_norms, depth + 1, reached));
    if (!joined && width && *width != channels) {
      return Refuse("what " + name + " makes one of differs in channels");
    }
    width = joined ? width.value_or(0) + channels : channels;
  }
  if (!width) return Refuse(Described(LayerOf(node)) + " lies between");
  return *width;
}

Result<std::vector<GraphTarget>> GraphWalk::Forward(LayerId id) const {
  const Layer& layer = graph_.layers[id];
  CKPT_RETURN_IF_ERROR(CheckParameters(layer));
  if (!layer.axis) return Refuse("its axis is not known");
  std::vector<Pending> pending;
  std::vector<Reached> reached;
  for (const NodeId call : calls_[id]) {
    CKPT_RETURN_IF_ERROR(CheckPassable(call));
    Demand demand;
    demand.axis = *layer.axis;
    demand.target.channels = OutChannels(layer).value_or(0);
    pending.push_back({graph_.nodes[call].output, std::move(demand)});
  }
  for (std::size_t next = 0; next < pending.size(); ++next) {
    if (next > kMaxSteps) return Refuse("too many layers lie between");
    const Pending from = pending[next];
    const Value& value = graph_.values[from.value];
    if (value.is_model_output) return Refuse("what it yields is an output of the model");
    if (value.consumers.empty()) return Refuse("nothing reads its output");
    for (const NodeId reader : value.consumers) {
      CKPT_RETURN_IF_ERROR(WalkForward(reader, from, pending, reached));
    }
  }
  if (reached.empty()) return Refuse("the graph never calls it");
  return Combine(std::move(reached));
}

Status GraphWalk::WalkForward(NodeId reader, const Pending& from, std::vector<Pending>& pending,
                              std::vector<Reached>& reached) const {
  const Layer& layer = LayerOf(reader);
  if (IsLinear(layer)) return ReachForward(reader, from, reached);
  Demand demand = from.demand;
  CKPT_RETURN_IF_ERROR(CheckCrossable(reader, demand));
  if (graph_.nodes[reader].inputs.size() != 1) return Fail(HasInputs(reader));
  const bool parts = Computes<network::Split>(layer);
  if (!parts) CKPT_RETURN_IF_ERROR(CheckOneResult(reader));
  if (!IsIdentity(reader)) CKPT_RETURN_IF_ERROR(crossing_.Forward(reader, demand));
  pending.push_back({graph_.nodes[reader].output, demand});
  for (const ValueId part : graph_.nodes[reader].others) pending.push_back({part, demand});
  return {};
}

Status GraphWalk::ReachForward(NodeId node, const Pending& from,
                               std::vector<Reached>& reached) const {
  const Layer& layer = LayerOf(node);
  if (graph_.nodes[node].inputs.size() != 1)
    return Refuse(Described(layer) + " has several inputs");
  if (!layer.not_forward.empty()) return Refuse(layer.not_forward);
  Demand demand = from.demand;
  CKPT_RETURN_IF_ERROR(crossing_.Absorb(node, demand));
  if (IsSeparable(layer)) {
    return Refuse("a batch norm is not folded forward into the depthwise kernel of " +
                  Described(layer));
  }
  const auto kernel = layer.tensors.find("kernel");
  if (kernel == layer.tensors.end()) return Refuse(Quoted(layer.name) + " has no kernel here");
  const Shape& shape = manifest_.tensors[kernel->second.index].shape;
  CKPT_ASSIGN_OR_RETURN(const KernelViews views, ViewsOf(shape, layer.layout, layer.groups));

  GraphTarget& target = demand.target;
  const bool repeated = target.order != ChannelOrder::kSame;
  if (repeated ? views.in_channels % std::max<std::size_t>(target.channels, 1) != 0
               : views.in_channels != target.channels) {
    return Refuse(Quoted(layer.name) + " takes " + std::to_string(views.in_channels) +
                  " channels, and the batch norm has " + std::to_string(target.channels));
  }
  target.layer = graph_.nodes[node].layer;
  reached.push_back({node, std::move(target)});
  return {};
}

}  // namespace ckpt
