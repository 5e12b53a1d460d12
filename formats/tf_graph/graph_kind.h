// Which of TensorFlow's graph messages a file holds, by its first bytes.
#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "ckpt/op_graph.h"

namespace ckpt::formats {

struct GraphKind {
  OpGraphKind kind = OpGraphKind::kGraphDef;
  bool text = false;  // protobuf's text format
};

// Nothing where the bytes begin none of them. 512 bytes are enough; fewer only if that is the file.
std::optional<GraphKind> SniffGraphKind(std::span<const std::byte> head);

std::string_view Name(OpGraphKind kind) noexcept;  // "GraphDef", "MetaGraphDef", "SavedModel"

}  // namespace ckpt::formats
