// What is said of a layer without tensors that is one operation of what it reads.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "ckpt/model_graph.h"
#include "layers/value_uses.h"

namespace ckpt {

using ElementsLookup = std::function<std::optional<std::vector<double>>(network::ValueId)>;

// Sets axis and activation of `layer`, which computes the settled operation. A reshape that makes a
// row of each example is MergeAxes, padding of nothing the identity, and a batch norm, which would
// be a layer with tensors, Unknown.
void DescribeOperation(const ValueUses& uses, const network::Operation& operation,
                       const ElementsLookup& elements, Layer& layer);

}  // namespace ckpt
