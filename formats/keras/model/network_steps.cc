// TimeDistributed: a layer on each step of axis 1.
#include <utility>

#include "ckpt/layer_computation.h"
#include "formats/keras/model/layer_call.h"

namespace ckpt::formats::keras {

using network::kNoValue;
using NetworkValue = network::ValueId;

bool IsAppliedToSteps(const LayerCall& call) {
  if (call.record.class_name != "TimeDistributed") return false;
  const bool last_axis = call.class_name == "Dense" ||
                         (IsActivation(call.layer) && call.class_name != "Softmax") ||
                         IsBatchNorm(call.layer);
  return !last_axis;
}

// The steps of all examples are examples to the layer.
NetworkValue TranslateSteps(const LayerCall& call) {
  const network::PartialShape shape = call.builder.ShapeOf(call.input());
  if (!shape || shape->size() < 3 || (*shape)[1] < 1) {
    return call.Unknown("how many steps it is applied to is not known");
  }
  LayerCall inner = call;
  inner.inputs = {call.Add(network::MergeAxes{0, 1}, {call.input()}, "steps")};
  const NetworkValue value = TranslateLayer(inner);
  if (!inner.misread.empty()) call.misread = inner.misread;
  const network::PartialShape made = call.builder.ShapeOf(value);
  if (!inner.further.empty()) return call.Unknown("it yields several sequences");
  if (!made || made->empty()) return call.Unknown("what each step yields has no known shape");
  network::Reshape reshape;
  reshape.shape = {network::Reshape::kRest, (*shape)[1]};
  for (std::size_t i = 1; i < made->size(); ++i) {
    if ((*made)[i] < 1) return call.Unknown("what each step yields has no known shape");
    reshape.shape.push_back((*made)[i]);
  }
  return call.Add(reshape, {value}, "sequence");
}

}  // namespace ckpt::formats::keras
