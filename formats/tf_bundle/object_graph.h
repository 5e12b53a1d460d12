// The object graph that TensorFlow 2 keeps in a checkpoint: which object holds which variable.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ckpt/formats/format.h"

namespace ckpt::formats {

inline constexpr std::string_view kObjectGraphKey = "_CHECKPOINTABLE_OBJECT_GRAPH";
inline constexpr std::string_view kVariableSuffix = "/.ATTRIBUTES/VARIABLE_VALUE";

// Nodes are numbered from 0, the root. There may be several ways to a node, and cycles.
struct ObjectGraph {
  struct Edge {
    std::uint32_t child;
    std::uint32_t name_begin, name_size;  // in `names`
  };
  struct Variable {
    std::uint32_t node;
    std::string full_name;  // "batch_normalization/gamma"; may be empty
    std::string key;        // in the .index
  };
  struct Slot {
    std::uint32_t optimizer, original, slot_variable;  // nodes
    std::uint32_t name_begin, name_size;
  };

  std::vector<std::uint32_t> edges_begin = {0};  // of each node in `edges`, and the end
  std::vector<Edge> edges;
  std::vector<Variable> variables;
  std::vector<Slot> slots;
  std::string names;

  std::size_t node_count() const noexcept { return edges_begin.size() - 1; }
  std::span<const Edge> Children(std::uint32_t node) const {
    return std::span(edges).subspan(edges_begin[node], edges_begin[node + 1] - edges_begin[node]);
  }
  template <class Named>
  std::string_view Name(const Named& named) const {
    return std::string_view(names).substr(named.name_begin, named.name_size);
  }
};

// Parses a TrackableObjectGraph. All node numbers in the result exist. Takes memory in proportion
// to `serialized`; kCorrupt or kLimitExceeded, without a place, where it cannot be used.
Result<ObjectGraph> ParseObjectGraph(std::string_view serialized, const Limits& limits);

}  // namespace ckpt::formats
