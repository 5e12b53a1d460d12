// What an operation with one operand that is data is to a fold: the kinds of layers without
// tensors.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "ckpt/model_graph.h"
#include "layers/value_uses.h"

namespace ckpt {

using ElementsLookup = std::function<std::optional<std::vector<double>>(network::ValueId)>;

// Sets kind, axis and activation of `layer`; its kind stays kOther where none fits.
void DescribeOperation(const ValueUses& uses, const network::Operation& operation,
                       const ElementsLookup& elements, Layer& layer);

// Of a window: none, a "same" rule, zeros.
Padding PaddingOf(const network::Padding& padding);
bool IsUnitStride(const network::Sizes& stride);

}  // namespace ckpt
