// Convolutions and matrix products of a serving graph.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "ckpt/model_graph.h"
#include "serving/body_view.h"

namespace ckpt {

struct LinearOp {
  Layer layer;  // without name, bias and what it computes
  Weight kernel;
  std::size_t data_input = 0;  // of the operation; the kernel is input 1
  bool channels_first = false;
};

// Nothing where the operation is none, where its kernel is no tensor of the file or is read in
// another shape, or where what it reads is itself a constant.
std::optional<LinearOp> ReadLinearOp(const BodyView& body, OpId id);

// What gives the kernel of such an operation where it is no tensor: "computed by \"mul\" (Mul)";
// empty for any other operation.
std::string SourceOfComputedKernel(const BodyView& body, OpId id);

// By the attribute data_format.
bool ChannelsFirst(const Op& op);

}  // namespace ckpt
