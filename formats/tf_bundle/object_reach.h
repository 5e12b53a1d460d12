// Ways from the root of an object graph to its nodes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "formats/tf_bundle/object_graph.h"

namespace ckpt::formats {

// What leads to a node. A variable that the model holds is the model's, even if the optimizer or a
// metric lists it too.
enum class ReachedBy : std::uint8_t { kNothing, kModel, kOptimizer, kFrameworkState };

class ObjectReach {
 public:
  // `graph` must outlive this.
  explicit ObjectReach(const ObjectGraph& graph);

  ReachedBy reached_by(std::uint32_t node) const { return reached_by_[node]; }
  // Steps from the root.
  std::uint32_t depth(std::uint32_t node) const { return depth_[node]; }
  // The names on the shortest way, joined by '/'; empty for the root, and for paths longer than any
  // real one.
  std::string Path(std::uint32_t node) const;

 private:
  void FindOptimizers();
  bool Allowed(ReachedBy pass, const ObjectGraph::Edge& edge) const;
  void Walk(ReachedBy pass);

  const ObjectGraph& graph_;
  std::vector<bool> optimizer_;
  std::vector<ReachedBy> reached_by_;
  std::vector<std::uint32_t> depth_, parent_, edge_;  // of the shortest way
};

}  // namespace ckpt::formats
