// What the operations of a serving graph are to folding that are neither linear nor a batch norm.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "ckpt/model_graph.h"
#include "serving/body_view.h"

namespace ckpt {

using Rank = std::optional<std::int64_t>;

struct OtherOp {
  Layer layer;
  Rank rank = {};  // of what it yields, where known
};

// `ranks`: those of its inputs that are no constants, in order.
OtherOp ReadOtherOp(const BodyView& body, OpId id, const std::vector<Rank>& ranks);

}  // namespace ckpt
