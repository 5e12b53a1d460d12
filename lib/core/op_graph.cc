#include "ckpt/op_graph.h"

namespace ckpt {

std::optional<OpId> OpBody::Find(std::string_view name) const {
  const auto it = by_name_.find(name);
  if (it == by_name_.end()) return std::nullopt;
  return it->second;
}

void OpBody::Index() {
  by_name_.clear();
  for (OpId id = 0; id < ops.size(); ++id) by_name_.emplace(ops[id].name, id);
}

}  // namespace ckpt
