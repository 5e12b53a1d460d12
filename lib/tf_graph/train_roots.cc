#include "tf_graph/train_roots.h"

#include <set>
#include <string_view>

namespace ckpt::tf_graph {
namespace {

bool IsOptimizerOp(std::string_view type) {
  return type.starts_with("Apply") || type.starts_with("ResourceApply") ||
         type.starts_with("SparseApply") || type.starts_with("ResourceSparseApply");
}

// Does the body, or one that it calls, hold an operation of an optimizer?
std::vector<bool> OptimizingBodies(const OpBodies& bodies) {
  std::vector<bool> optimizes(bodies.size(), false);
  std::vector<std::uint32_t> pending;
  const auto add = [&](std::uint32_t body) {
    if (optimizes[body]) return;
    optimizes[body] = true;
    pending.push_back(body);
  };
  for (std::uint32_t body = 0; body < bodies.size(); ++body) {
    for (const Op& op : bodies.body(body).ops) {
      if (IsOptimizerOp(op.type)) {
        add(body);
        break;
      }
    }
  }
  while (!pending.empty()) {
    const std::uint32_t body = pending.back();
    pending.pop_back();
    for (const OpBodies::Call& call : bodies.CallsOf(body)) add(call.op.body);
  }
  return optimizes;
}

}  // namespace

std::vector<OpRef> SinksAfter(const OpBodies& bodies, const std::vector<OpRef>& from) {
  std::vector<bool> seen(bodies.body(0).ops.size(), false);
  std::vector<OpRef> pending, sinks;
  const auto add = [&](OpRef at) {
    if (at.body != 0 || seen[at.op]) return;
    seen[at.op] = true;
    pending.push_back(at);
  };
  for (const OpRef at : from) add(at);
  while (!pending.empty()) {
    const OpRef at = pending.back();
    pending.pop_back();
    const auto readers = bodies.Consumers(at), waiting = bodies.ControlConsumers(at);
    if (readers.empty() && waiting.empty()) sinks.push_back(at);
    for (const OpId id : readers) add({0, id});
    for (const OpId id : waiting) add({0, id});
  }
  return sinks;
}

TrainRoots FindTrainRoots(const OpBodies& bodies) {
  TrainRoots found;
  const std::vector<bool> optimizing = OptimizingBodies(bodies);
  found.optimizes = optimizing[0];
  const auto& collections = bodies.graph().collections;
  if (const auto train = collections.find("train_op"); train != collections.end()) {
    std::set<OpId> known;  // minimize() and the program may both have added it
    for (std::string_view name : train->second) {
      name = name.substr(0, name.find(':'));
      const auto id = bodies.body(0).Find(name);
      if (id && known.insert(*id).second) found.roots.push_back({0, *id});
    }
  }
  if (!found.roots.empty()) {
    found.recorded = found.optimizes = true;
    return found;
  }
  if (!found.optimizes) return found;
  std::vector<OpRef> applies;
  for (OpId id = 0; id < bodies.body(0).ops.size(); ++id) {
    const OpRef at{0, id};
    bool optimizes = IsOptimizerOp(bodies.op(at).type);
    for (const OpBodies::Callee& callee : bodies.CalleesOf(at)) {
      optimizes = optimizes || optimizing[callee.body];
    }
    if (optimizes) applies.push_back(at);
  }
  found.roots = SinksAfter(bodies, applies);
  return found;
}

}  // namespace ckpt::tf_graph
