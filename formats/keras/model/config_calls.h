// How a Keras config records the calls of a layer ("inbound_nodes") and the ends of a model.
//
// Keras 1, 2 and tf.keras: one list a call, of [layer, node, tensor] or [layer, node, tensor,
// {keyword arguments}] in the structure of the first argument; a constant operand is
// ["_CONSTANT_VALUE", -1, value, {...}].
// Keras 3: {"args": [...], "kwargs": {...}} with {"class_name": "__keras_tensor__", "config":
// {"keras_history": [layer, node, tensor], ...}} wherever a tensor stands.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "formats/keras/model/config_json.h"

namespace ckpt::formats::keras {

// A place in the JSON that names a tensor.
struct RefSite {
  Json* layer;
  Json* node;
  Json* tensor;
  const Json* shape = nullptr;  // of the tensor, where it is recorded (Keras 3)
  bool keyword = false;         // inside a keyword argument
  bool repeated = false;  // keyword arguments that only repeat those of the call's first tensor
};
using RefVisitor = std::function<void(const RefSite&)>;
// Is there a layer of this name? In keyword arguments a list that looks like a tensor may be data.
using LayerTest = std::function<bool(std::string_view)>;

// Visits the tensors of one call: positional ones first, then keyword arguments sorted by key, the
// order in which Keras walks them.
void VisitCall(Json& call, const LayerTest& is_layer, const RefVisitor& visit);
// Visits "input_layers" or "output_layers": one [layer, node, tensor], or lists and objects of such
// (objects sorted by key).
void VisitEnds(Json& ends, const RefVisitor& visit);

// The calls in "inbound_nodes", also where a single call stands there without its list.
std::vector<Json*> CallsIn(Json& inbound_nodes);

bool IsKeras3Call(const Json& call);

// One argument of a call. `tensors` of those that VisitCall() meets, repeated ones left out, are in
// it; it is a tensor itself, or anything else: `value` is the config's number or list of tensors.
struct CallArgument {
  std::string keyword;  // empty: by its place
  const Json* value;
  std::size_t tensors = 0;
  bool is_tensor = false;
};
// In the order in which VisitCall() meets their tensors: by place first, then sorted by keyword.
std::vector<CallArgument> ArgumentsOfCall(const Json& call, const LayerTest& is_layer);

// Why a call is more than a layer applied to a flat list of tensors; empty if it is not.
std::string OddityOfCall(const Json& call);
// The value of the argument `training` of a call; absent where the call leaves it to whoever calls
// the model. What is no constant is an oddity of the call.
std::optional<bool> TrainingOfCall(const Json& call);
// Makes a call of Keras 1 or 2 say training=False.
void CallForInference(Json& call);

}  // namespace ckpt::formats::keras
