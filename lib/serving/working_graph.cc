#include "serving/working_graph.h"

#include <charconv>
#include <utility>

#include "ckpt/serving.h"

namespace ckpt {
namespace {

std::uint64_t Key(const OpEdge& edge) noexcept {
  return std::uint64_t{edge.op} << 32 | edge.output;
}

}  // namespace

WorkingGraph::WorkingGraph(const OpBody& body) : ops_(body.ops) {
  for (OpId id = 0; id < ops_.size(); ++id) by_name_.emplace(ops_[id].name, id);
}

OpEdge WorkingGraph::Resolve(OpEdge edge) const {
  // Redirections that hostile functions could close to a ring end here too.
  for (std::size_t steps = 0; steps <= redirected_.size(); ++steps) {
    const auto next = redirected_.find(Key(edge));
    if (next == redirected_.end()) break;
    edge = next->second;
  }
  return edge;
}

void WorkingGraph::Redirect(const OpEdge& from, OpEdge to) {
  to = Resolve(std::move(to));
  if (Key(to) != Key(from)) redirected_[Key(from)] = std::move(to);
}

OpId WorkingGraph::Add(Op op) {
  const auto id = static_cast<OpId>(ops_.size());
  std::string name = op.name;
  for (std::size_t i = 1; !by_name_.emplace(name, id).second; ++i)
    name = op.name + '_' + std::to_string(i);
  op.name = std::move(name);
  ops_.push_back(std::move(op));
  return id;
}

std::optional<OpEdge> WorkingGraph::Next(const OpEdge& edge) const {
  const auto next = redirected_.find(Key(edge));
  if (next == redirected_.end()) return std::nullopt;
  return next->second;
}

std::span<const OpId> WorkingGraph::Effects(OpId call) const {
  const auto found = effects_.find(call);
  if (found == effects_.end()) return {};
  return found->second;
}

std::vector<OpEdge> WorkingGraph::Inline(OpId call, const OpFunction& function,
                                         std::span<const OpEdge> arguments) {
  const std::string prefix = ops_[call].name;
  std::vector<OpId> id_of(function.body.ops.size());
  for (OpId i = 0; i < function.body.ops.size(); ++i) {
    if (i < function.arguments) continue;
    Op copy = function.body.ops[i];
    copy.name = prefix + "/" + copy.name;
    copy.attrs[std::string(kRecordFunction)] = function.name;
    copy.inputs.clear();
    copy.control_inputs.clear();
    id_of[i] = Add(std::move(copy));
  }
  const auto translate = [&](OpEdge edge) {
    if (edge.op < function.arguments) return arguments[edge.op];
    edge.op = id_of[edge.op];
    return edge;
  };
  for (OpId i = 0; i < function.body.ops.size(); ++i) {
    if (i < function.arguments) continue;
    const Op& original = function.body.ops[i];
    Op& copy = ops_[id_of[i]];
    for (const OpEdge& input : original.inputs) copy.inputs.push_back(translate(input));
    for (const OpId control : original.control_inputs) {
      if (control >= function.arguments) copy.control_inputs.push_back(id_of[control]);
    }
  }
  for (const OpId effect : function.control_results) {
    if (effect >= function.arguments) effects_[call].push_back(id_of[effect]);
  }
  std::vector<OpEdge> results;
  for (const OpEdge& result : function.results) results.push_back(translate(result));
  return results;
}

std::optional<OpId> WorkingGraph::Find(std::string_view name) const {
  const auto found = by_name_.find(std::string(name));
  if (found == by_name_.end()) return std::nullopt;
  return found->second;
}

std::vector<OpId> WorkingGraph::Ancestors(std::span<const OpEdge> roots,
                                          bool through_control) const {
  std::vector<OpId> order;
  std::vector<bool> seen(ops_.size(), false);
  struct Step {
    OpId op;
    std::size_t next;
  };
  std::vector<Step> stack;  // of its own: graphs are deeper than the call stack
  for (const OpEdge& root : roots) {
    const OpId first = Resolve(root).op;
    if (seen[first]) continue;
    seen[first] = true;
    stack.push_back({first, 0});
    while (!stack.empty()) {
      Step& step = stack.back();
      const Op& op = ops_[step.op];
      const std::size_t data = op.inputs.size();
      const std::size_t all = data + (through_control ? op.control_inputs.size() : 0);
      if (step.next == all) {
        order.push_back(step.op);
        stack.pop_back();
        continue;
      }
      const std::size_t i = step.next++;
      const OpId producer = i < data ? Resolve(op.inputs[i]).op : op.control_inputs[i - data];
      if (seen[producer]) continue;
      seen[producer] = true;
      stack.push_back({producer, 0});
    }
  }
  return order;
}

Result<TensorName> ParseTensorName(std::string_view name) {
  TensorName result;
  const std::size_t colon = name.rfind(':');
  result.op = name.substr(0, colon);
  if (colon != std::string_view::npos) {
    const std::string_view number = name.substr(colon + 1);
    const auto [end, error] =
        std::from_chars(number.data(), number.data() + number.size(), result.output);
    if (error != std::errc() || end != number.data() + number.size()) {
      return Fail(ErrorCode::kInvalidArgument,
                  "\"" + std::string(name) + "\" is no name of a tensor");
    }
  }
  return result;
}

std::string ToTensorName(const Op& op, std::uint32_t output) {
  return op.name + ':' + std::to_string(output);
}

}  // namespace ckpt
