#include "serving/batch_statistics.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "serving/op_facts.h"

namespace ckpt {
namespace {

constexpr std::size_t kMaxUpdateSteps = 10000;  // over one update
constexpr std::size_t kMaxNamed = 6;            // layers in a message

using Tensor = std::pair<OpId, std::uint32_t>;  // an edge as a key

bool IsArithmetic(std::string_view type) {
  return type == "Mul" || type == "Sub" || type == "Add" || type == "AddV2" || type == "Neg" ||
         type == "RealDiv" || type == "Div" || type == "AddN" || type == "DivNoNan";
}

// Keeps the values of a statistic, and changes at most its shape.
bool IsReshaping(std::string_view type) {
  return IsIdentityType(type) || type == "Squeeze" || type == "Reshape" || type == "Cast" ||
         type == "ExpandDims";
}

// A mean over the batch, perhaps over more axes.
bool IsBatchMean(const WorkingGraph& graph, const Op& op) {
  if (op.type != "Mean" || op.inputs.size() != 2) return false;
  const auto axes = ConstantIntegers(graph, op.inputs[1]);
  return axes && std::find(axes->begin(), axes->end(), 0) != axes->end();
}

// Where a tensor is a statistic of the batch, reshaped perhaps: what computes it.
std::optional<Tensor> StatisticBehind(const WorkingGraph& graph, OpEdge edge) {
  for (std::size_t i = 0; i < kMaxUpdateSteps; ++i) {
    edge = graph.Resolve(edge);
    const Op& op = graph.op(edge.op);
    if (IsBatchMean(graph, op)) return Tensor{edge.op, 0};
    if (IsFusedBatchNormType(op.type) && IsTraining(op) && (edge.output == 1 || edge.output == 2))
      return Tensor{edge.op, edge.output};
    if (!IsReshaping(op.type) || op.inputs.empty()) return std::nullopt;
    edge = op.inputs[0];
  }
  return std::nullopt;
}

// Layer norms are built of a fused batch norm over an input of shape [1, examples, ...]: each
// example is a channel of its own.
bool IsLayerNorm(const WorkingGraph& graph, const Op& op) {
  const auto* format = FindAttr<std::string>(op, "data_format");
  if (format == nullptr || !format->starts_with("NC")) return false;
  const Op& reshape = graph.op(graph.Resolve(op.inputs[0]).op);
  if (reshape.type != "Reshape" || reshape.inputs.size() != 2) return false;
  const OpEdge shape = graph.Resolve(reshape.inputs[1]);
  if (const auto whole = ConstantIntegers(graph, shape)) return !whole->empty() && (*whole)[0] == 1;
  const Op& packed = graph.op(shape.op);
  if (packed.type != "Pack" || packed.inputs.empty()) return false;
  const auto first = ConstantIntegers(graph, packed.inputs[0]);
  return first && first->size() == 1 && (*first)[0] == 1;
}

struct Update {
  OpId variable;
  std::set<OpId> through;  // other variables whose new value it takes
};

// All updates of the graph, by the statistic that they take.
class Updates {
 public:
  explicit Updates(const WorkingGraph& graph) : graph_(graph) {
    for (OpId id = 0; id < graph.size(); ++id) {
      const Op& op = graph.op(id);
      if (!IsAssignOp(op.type) || op.inputs.size() < 2) continue;
      if (const auto variable = VariableOf(graph, op.inputs[0])) Read(id, *variable);
    }
  }

  // The variable that follows the statistic `tensor`, if there is exactly one.
  std::optional<OpId> VariableFor(const Tensor& tensor) const {
    const auto found = updates_.find(tensor);
    if (found == updates_.end()) return std::nullopt;
    std::set<OpId> variables, passed;
    for (const Update& update : found->second) {
      variables.insert(update.variable);
      passed.insert(update.through.begin(), update.through.end());
    }
    // An average that another is computed from (zero_debias) is not the one that serves.
    for (const OpId id : passed) {
      if (variables.size() > 1) variables.erase(id);
    }
    if (variables.size() != 1) return std::nullopt;
    return *variables.begin();
  }

  const std::map<Tensor, std::vector<Update>>& all() const noexcept { return updates_; }

 private:
  void Read(OpId assign, OpId variable) {
    std::vector<OpEdge> pending = {graph_.Resolve(graph_.op(assign).inputs[1])};
    std::set<Tensor> seen, statistics;
    std::set<OpId> through;
    while (!pending.empty() && seen.size() < kMaxUpdateSteps) {
      const OpEdge edge = pending.back();
      pending.pop_back();
      if (!seen.insert({edge.op, edge.output}).second) continue;
      if (const auto source = StatisticBehind(graph_, edge)) {
        statistics.insert({edge.op, edge.output});
        statistics.insert(*source);
        continue;
      }
      const Op& op = graph_.op(edge.op);
      std::size_t first = 0, count = op.inputs.size();
      if (IsAssignOp(op.type) && count >= 2) {
        if (const auto other = VariableOf(graph_, op.inputs[0]); other && *other != variable)
          through.insert(*other);
        first = 1;
      } else if (IsSwitchType(op.type)) {
        count = std::min<std::size_t>(count, 1);
      } else if (!IsArithmetic(op.type) && !IsReshaping(op.type) && !IsMergeType(op.type)) {
        AddControlled(op, variable, through);
        continue;
      }
      AddControlled(op, variable, through);
      for (std::size_t i = first; i < count; ++i) pending.push_back(graph_.Resolve(op.inputs[i]));
    }
    for (const Tensor& statistic : statistics) updates_[statistic].push_back({variable, through});
  }

  // A read that waits for another variable's update takes its new value.
  void AddControlled(const Op& op, OpId variable, std::set<OpId>& through) const {
    for (const OpId control : op.control_inputs) {
      const Op& before = graph_.op(control);
      if (!IsAssignOp(before.type) || before.inputs.empty()) continue;
      if (const auto other = VariableOf(graph_, before.inputs[0]); other && *other != variable)
        through.insert(*other);
    }
  }

  const WorkingGraph& graph_;
  std::map<Tensor, std::vector<Update>> updates_;
};

std::string ScopeOf(const std::string& name) {
  const std::size_t slash = name.rfind('/');
  return slash == std::string::npos ? name : name.substr(0, slash);
}

// x of a variance of the batch: Mean(SquaredDifference(x, Mean(x))).
bool IsBatchVariance(const WorkingGraph& graph, const Op& op) {
  if (op.type != "SquaredDifference" || op.inputs.size() != 2) return false;
  return StatisticBehind(graph, op.inputs[0]).has_value() ||
         StatisticBehind(graph, op.inputs[1]).has_value();
}

// What a fused batch norm in training mode holds in the place of a moving statistic: a stored
// vector that is not empty.
std::optional<OpId> StoredBehind(const WorkingGraph& graph, const OpEdge& edge) {
  if (const auto variable = VariableOf(graph, edge)) return variable;
  const OpEdge source = graph.Resolve(edge);
  const Op& op = graph.op(source.op);
  if (op.type != "Const" || (!op.constant && !op.tensor)) return std::nullopt;
  if (op.constant && op.constant->shape.element_count() == 0) return std::nullopt;
  return source.op;
}

class Closing {
 public:
  Closing(WorkingGraph& graph, std::span<const OpEdge> roots)
      : graph_(graph), roots_(roots), updates_(graph) {}

  Result<std::vector<ClosedStatistic>> Run() {
    // The batch norms first: what follows of their statistics is then no longer read.
    for (const OpId id : graph_.Ancestors(roots_, false)) CloseFused(id);
    CloseMoments();
    for (const OpId id : graph_.Ancestors(roots_, false)) {
      if (IsBatchVariance(graph_, graph_.op(id))) open_.insert(ScopeOf(graph_.op(id).name));
    }
    if (open_.empty()) return std::move(closed_);
    std::string names;
    std::size_t count = 0;
    for (const std::string& name : open_) {
      if (++count <= kMaxNamed) names += (names.empty() ? "\"" : ", \"") + name + '"';
    }
    if (count > kMaxNamed) names += " and " + std::to_string(count - kMaxNamed) + " more";
    return Fail(ErrorCode::kUnfit,
                "batch norm in training mode, and no update operation of the graph shows which "
                "variables are its moving statistics: " +
                    names);
  }

 private:
  void CloseFused(OpId id) {
    Op& op = graph_.op(id);
    if (!IsFusedBatchNormType(op.type) || !IsTraining(op) || op.inputs.size() != 5) return;
    auto mean = updates_.VariableFor({id, 1}), variance = updates_.VariableFor({id, 2});
    if (!mean && !variance) {
      if (IsLayerNorm(graph_, op)) return;
      mean = StoredBehind(graph_, op.inputs[3]);
      variance = StoredBehind(graph_, op.inputs[4]);
    }
    if (!mean || !variance || mean == variance) {
      open_.insert(ScopeOf(op.name));
      return;
    }
    op.inputs[3] = {*mean, 0, {}};
    op.inputs[4] = {*variance, 0, {}};
    op.attrs["is_training"] = false;
    op.attrs.erase("exponential_avg_factor");
    closed_.push_back({*mean, op.name});
    closed_.push_back({*variance, op.name});
  }

  void CloseMoments() {
    std::vector<bool> read(graph_.size(), false);
    for (const OpId id : graph_.Ancestors(roots_, false)) read[id] = true;
    for (const auto& [tensor, list] : updates_.all()) {
      if (!read[tensor.first]) continue;
      const Op& op = graph_.op(tensor.first);
      if (IsFusedBatchNormType(op.type)) continue;
      // A mean that keeps its axes has another shape than the variable: only what was reshaped
      // does.
      const bool* keeps = FindAttr<bool>(op, "keep_dims");
      if (op.type == "Mean" && keeps != nullptr && *keeps) continue;
      const auto variable = updates_.VariableFor(tensor);
      if (!variable) continue;
      graph_.Redirect({tensor.first, tensor.second, {}}, {*variable, 0, {}});
      closed_.push_back({*variable, op.name});
    }
  }

  WorkingGraph& graph_;
  const std::span<const OpEdge> roots_;
  const Updates updates_;
  std::set<std::string> open_;  // scopes of what stays in training mode
  std::vector<ClosedStatistic> closed_;
};

}  // namespace

Result<std::vector<ClosedStatistic>> UseMovingStatistics(WorkingGraph& graph,
                                                         std::span<const OpEdge> roots) {
  return Closing(graph, roots).Run();
}

std::set<OpId> VariablesOfBatchStatistics(const WorkingGraph& graph) {
  std::set<OpId> variables;
  const Updates updates(graph);
  for (const auto& [tensor, list] : updates.all()) {
    for (const Update& update : list) {
      variables.insert(update.variable);
      variables.insert(update.through.begin(), update.through.end());
    }
  }
  return variables;
}

}  // namespace ckpt
