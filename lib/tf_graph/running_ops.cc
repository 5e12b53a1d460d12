#include "ckpt/op_training.h"

namespace ckpt {

OpSet::OpSet(const OpBodies& bodies) {
  bits_.reserve(bodies.size());
  for (std::uint32_t body = 0; body < bodies.size(); ++body) {
    bits_.emplace_back(bodies.body(body).ops.size(), false);
  }
}

bool OpSet::Add(OpRef at) {
  if (Has(at)) return false;
  bits_[at.body][at.op] = true;
  return true;
}

OpSet RunningWith(const OpBodies& bodies, const std::vector<OpRef>& roots) {
  OpSet running(bodies);
  std::vector<bool> called(bodies.size(), false);
  std::vector<OpRef> pending;
  const auto add = [&](OpRef at) {
    if (running.Add(at)) pending.push_back(at);
  };
  for (const OpRef root : roots) add(root);
  while (!pending.empty()) {
    const OpRef at = pending.back();
    pending.pop_back();
    const Op& op = bodies.op(at);
    const std::size_t count = bodies.body(at.body).ops.size();
    for (const OpEdge& edge : op.inputs) {
      if (edge.op < count) add({at.body, edge.op});
    }
    for (const OpId input : op.control_inputs) {
      if (input < count) add({at.body, input});
    }
    for (const OpBodies::Callee& callee : bodies.CalleesOf(at)) {
      if (called[callee.body]) continue;
      called[callee.body] = true;
      // An assignment in a function runs although no result depends on it.
      for (OpId id = 0; id < bodies.body(callee.body).ops.size(); ++id) add({callee.body, id});
    }
  }
  return running;
}

}  // namespace ckpt
