#include "formats/tf_bundle/object_reach.h"

namespace ckpt::formats {
namespace {

constexpr std::uint32_t kMaxPathSteps = 64;
constexpr std::size_t kMaxPathBytes = 1024;

}  // namespace

ObjectReach::ObjectReach(const ObjectGraph& graph)
    : graph_(graph),
      optimizer_(graph.node_count()),
      reached_by_(graph.node_count()),
      depth_(graph.node_count()),
      parent_(graph.node_count()),
      edge_(graph.node_count()) {
  FindOptimizers();
  reached_by_[0] = ReachedBy::kModel;
  for (const ReachedBy pass :
       {ReachedBy::kModel, ReachedBy::kOptimizer, ReachedBy::kFrameworkState}) {
    Walk(pass);
  }
}

void ObjectReach::FindOptimizers() {
  for (const auto& slot : graph_.slots) optimizer_[slot.optimizer] = true;
  for (std::uint32_t node = 0; node < graph_.node_count(); ++node) {
    bool variables = false, iterations = false, rate = false;
    for (const auto& edge : graph_.Children(node)) {
      const std::string_view name = graph_.Name(edge);
      variables |= name == "_variables";
      iterations |= name == "_iterations" || name == "iter";
      rate |= name == "learning_rate" || name == "decay";
    }
    if (iterations && (variables || rate)) optimizer_[node] = true;
  }
}

bool ObjectReach::Allowed(ReachedBy pass, const ObjectGraph::Edge& edge) const {
  if (pass == ReachedBy::kFrameworkState) return true;
  // Keras keeps its metrics there, and lists the variables of a layer once more.
  if (graph_.Name(edge) == "keras_api") return false;
  return pass == ReachedBy::kOptimizer || !optimizer_[edge.child];
}

// Breadth first, from all that was reached before to what was not.
void ObjectReach::Walk(ReachedBy pass) {
  std::vector<std::uint32_t> queue;
  for (std::uint32_t node = 0; node < graph_.node_count(); ++node) {
    if (reached_by_[node] != ReachedBy::kNothing) queue.push_back(node);
  }
  for (std::size_t next = 0; next < queue.size(); ++next) {
    const std::uint32_t node = queue[next];
    for (std::uint32_t e = graph_.edges_begin[node]; e < graph_.edges_begin[node + 1]; ++e) {
      const auto& edge = graph_.edges[e];
      if (reached_by_[edge.child] != ReachedBy::kNothing || !Allowed(pass, edge)) continue;
      reached_by_[edge.child] = pass;
      depth_[edge.child] = depth_[node] + 1;
      parent_[edge.child] = node;
      edge_[edge.child] = e;
      queue.push_back(edge.child);
    }
  }
}

std::string ObjectReach::Path(std::uint32_t node) const {
  if (depth_[node] > kMaxPathSteps) return {};
  std::string path;
  for (; depth_[node] > 0; node = parent_[node]) {
    const std::string_view name = graph_.Name(graph_.edges[edge_[node]]);
    if (path.size() + name.size() > kMaxPathBytes) return {};
    path.insert(0, path.empty() ? std::string(name) : std::string(name) + "/");
  }
  return path;
}

}  // namespace ckpt::formats
