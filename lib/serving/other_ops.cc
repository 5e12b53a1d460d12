#include "serving/other_ops.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "serving/linear_ops.h"
#include "serving/op_facts.h"

namespace ckpt {
namespace {

bool IsActivation(std::string_view type) {
  for (const std::string_view one : {"Relu", "Relu6", "Elu", "Selu", "Sigmoid", "Tanh", "LeakyRelu",
                                     "Softplus", "Softsign", "Softmax"}) {
    if (one == type) return true;
  }
  return false;
}

void ClassifyReduction(const BodyView& body, const Op& op, Layer& layer, Rank& rank) {
  const bool* keep = FindAttr<bool>(op, "keep_dims");
  const bool keeps = keep != nullptr && *keep;
  std::vector<std::int64_t> axes;
  if (op.inputs.size() == 2) axes = body.Integers(op.inputs[1]);
  std::sort(axes.begin(), axes.end());
  const auto before = rank;
  if (axes.empty()) rank.reset();  // not known
  if (!keeps && rank) *rank -= static_cast<std::int64_t>(axes.size());
  if (before != 4 && before != 5) return;
  std::vector<std::int64_t> last, first;
  for (std::int64_t axis = 1; axis + 1 < *before; ++axis) {
    last.push_back(axis);
    first.push_back(axis + 1);
  }
  if (axes != last && axes != first) return;
  layer.kind = op.type == "Mean" ? OpKind::kGlobalAveragePool : OpKind::kGlobalMaxPool;
  layer.axis = axes == last ? -1 : 1;
}

void ClassifyPad(const BodyView& body, const Op& op, Layer& layer) {
  if (op.inputs.size() != 2) return;
  const auto paddings = body.Integers(op.inputs[1]);
  if (paddings.size() < 6 || paddings.size() % 2 != 0) return;
  const auto pads = [&](std::size_t axis) {
    return paddings[2 * axis] != 0 || paddings[2 * axis + 1] != 0;
  };
  const std::size_t last = paddings.size() / 2 - 1;
  if (pads(0) || (pads(1) && pads(last))) return;
  layer.kind = OpKind::kZeroPad;
  layer.axis = pads(last) ? 1 : -1;
}

// [N, H, W, C] to [N, H * W * C]: channels are the fastest axis, whatever the others are.
void ClassifyReshape(const BodyView& body, const Op& op, Layer& layer, Rank& rank) {
  const auto before = rank;
  rank.reset();
  if (op.inputs.size() != 2) return;
  const auto shape = body.Integers(op.inputs[1]);
  if (!shape.empty()) rank = static_cast<std::int64_t>(shape.size());
  layer.kind = OpKind::kReshape;
  if (shape.size() == 2 && shape[0] == -1 && shape[1] > 0 && before && *before > 2)
    layer.kind = OpKind::kFlatten;
}

}  // namespace

OtherOp ReadOtherOp(const BodyView& body, OpId id, const std::vector<Rank>& ranks) {
  const Op& op = body.op(id);
  OtherOp other;
  Layer& layer = other.layer;
  layer.name = op.name;
  layer.op_type = op.type;
  Rank& rank = other.rank;
  if (!ranks.empty()) rank = ranks.front();
  const std::string_view type = op.type;
  const bool first = ChannelsFirst(op);
  const std::int64_t channel_axis = first ? 1 : -1;
  if (type == "Placeholder" || type == "PlaceholderWithDefault") {
    layer.kind = OpKind::kInput;
    const auto* shape = FindAttr<OpShape>(op, "shape");
    if (shape != nullptr && *shape) rank = static_cast<std::int64_t>((*shape)->size());
  } else if (IsIdentityType(type)) {
    layer.kind = OpKind::kIdentity;
  } else if (IsActivation(type)) {
    layer.kind = OpKind::kActivation;
    layer.activation = type;
  } else if ((type == "Add" || type == "AddV2" || type == "AddN") &&
             ranks.size() == op.inputs.size()) {
    layer.kind = OpKind::kAdd;
    const bool same =
        std::all_of(ranks.begin(), ranks.end(), [&](const Rank& r) { return r == rank; });
    if (!same) rank.reset();
  } else if (type == "ConcatV2" && ranks.size() + 1 == op.inputs.size()) {
    const auto axis = body.Integers(op.inputs.back());
    if (axis.size() == 1) {
      layer.kind = OpKind::kConcat;
      layer.axis = axis[0];
    }
  } else if (type == "MaxPool" || type == "MaxPool3D") {
    layer.kind = OpKind::kMaxPool;
    layer.axis = channel_axis;
    rank = type == "MaxPool" ? 4 : 5;
  } else if (type == "AvgPool" || type == "AvgPool3D") {
    layer.kind = OpKind::kAveragePool;
    layer.axis = channel_axis;
    rank = type == "AvgPool" ? 4 : 5;
  } else if (type == "Mean" || type == "Max") {
    ClassifyReduction(body, op, layer, rank);
  } else if (type == "Pad") {
    ClassifyPad(body, op, layer);
  } else if (type == "ResizeNearestNeighbor" || type == "ResizeBilinear") {
    layer.kind = OpKind::kUpsample;
    layer.axis = -1;
  } else if (type == "Reshape") {
    ClassifyReshape(body, op, layer, rank);
  } else {
    rank.reset();
  }
  return other;
}

}  // namespace ckpt
