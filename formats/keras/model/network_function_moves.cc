// Functions among the layers that move elements: shapes, parts, indices, sizes.
#include <utility>

#include "formats/keras/model/function_call.h"

namespace ckpt::formats::keras {

using network::kNoValue;
using network::Sizes;
using NetworkValue = network::ValueId;

namespace {

NetworkValue Reshaped(const Function& function) {
  const bool tensorflow = function.is_tensorflow();
  const NetworkValue x = function.Operand(0, tensorflow ? "tensor" : "x");
  if (x == kNoValue) return kNoValue;
  const std::string& name = function.name();
  if (name == "Reshape" || name == "reshape") {
    const auto shape = function.Integers(1, tensorflow ? "shape" : "newshape");
    if (!shape) return kNoValue;
    network::Reshape reshape;
    reshape.shape = *shape;
    return function.call().Add(reshape, {x});
  }
  if (name == "BroadcastTo") {
    const auto shape = function.Integers(1, "shape");
    return shape ? function.call().Add(network::BroadcastTo{*shape}, {x}) : kNoValue;
  }
  return kNoValue;
}

NetworkValue Moved(const Function& function) {
  const std::string& name = function.name();
  const bool tensorflow = function.is_tensorflow();
  NetworkValue x = function.Operand(0, tensorflow ? "a" : "x");
  if (x == kNoValue) x = function.Operand(0, "input");
  if (x == kNoValue) return kNoValue;
  if (name == "Transpose" || name == "transpose" || name == "compat.v1.transpose") {
    const char* key = tensorflow ? "perm" : "axes";
    const auto order = function.Integers(1, key);
    if (function.Attribute(1, key) && !order) return kNoValue;
    return function.call().Add(network::Transpose{order.value_or(Sizes{})}, {x});
  }
  const auto axes = function.Integers(1, "axis");
  if (function.Attribute(1, "axis") && !axes) return kNoValue;
  if ((name == "ExpandDims" || name == "expand_dims") && axes) {
    return function.call().Add(network::InsertAxes{*axes}, {x});
  }
  if (name == "Squeeze" || name == "squeeze" || name == "compat.v1.squeeze") {
    return function.call().Add(network::DropAxes{axes.value_or(Sizes{})}, {x});
  }
  return kNoValue;
}

NetworkValue Joined(const Function& function) {
  const std::string& name = function.name();
  const bool stacks = name == "Stack" || name == "stack";
  if (!stacks && name != "Concatenate" && name != "concat") return kNoValue;
  const LayerCall& call = function.call();
  const bool lists =
      call.ArgumentOf(0, stacks || !function.is_tensorflow() ? "xs" : "values").tensors.size() ==
      call.inputs.size();
  const Json* axis = function.Attribute(1, "axis");
  if (!lists || call.inputs.size() < 2 || !function.HasAxisOrNone(1)) return kNoValue;
  if (axis == nullptr && !stacks) return kNoValue;
  if (!stacks) return call.Add(network::Concatenate{function.Axis(1, 0)}, call.inputs);
  const std::int64_t place = function.Axis(1, 0);
  std::vector<NetworkValue> wide;
  for (const NetworkValue input : call.inputs) {
    wide.push_back(call.Add(network::InsertAxes{{place}}, {input}, "part"));
  }
  return call.Add(network::Concatenate{place}, std::move(wide));
}

NetworkValue Parted(const Function& function) {
  const std::string& name = function.name();
  if (name != "Split" && name != "split") return kNoValue;
  const bool tensorflow = function.is_tensorflow();
  const char* key = tensorflow ? "num_or_size_splits" : "indices_or_sections";
  const NetworkValue x = function.Operand(0, tensorflow ? "value" : "x");
  const auto sizes = function.Integers(1, key);
  const bool even = Function::Integer(function.Attribute(1, key)).has_value();
  // A list is one of places in Keras, one of sizes in TensorFlow.
  if (x == kNoValue || !sizes || (!even && !tensorflow) || !function.HasAxisOrNone(2)) {
    return kNoValue;
  }
  const std::int64_t parts = even ? sizes->front() : static_cast<std::int64_t>(sizes->size());
  if (parts < 1 || parts > 1024) return kNoValue;
  network::Split split;
  split.axis = function.Axis(2, 0);
  if (!even) split.sizes = *sizes;
  const LayerCall& call = function.call();
  const auto results =
      call.builder.AddMany(split, {x}, static_cast<std::size_t>(parts), call.layer.name);
  call.further.assign(results.begin() + 1, results.end());
  return results[0];
}

// x[...] with integers and slices: one entry of the key for each of the first axes.
class Indexing {
 public:
  bool Read(const Json& key) {
    const bool several = key.is_array();
    for (const Json& entry : several ? key : Json::array({key})) {
      if (!ReadEntry(entry)) return false;
      ++axis_;
    }
    return true;
  }

  NetworkValue Translate(const LayerCall& call, NetworkValue x) const {
    NetworkValue value = x;
    if (!slice_.axes.empty()) {
      value = call.Add(slice_, {value}, dropped_.empty() ? std::string_view() : "slice");
    }
    if (!dropped_.empty()) value = call.Add(network::DropAxes{dropped_}, {value});
    return value == x ? call.Add(network::Unary{}, {x}) : value;
  }

 private:
  bool ReadEntry(const Json& entry) {
    if (const auto index = Function::Integer(&entry)) {
      Take(*index, *index == -1 ? network::Slice::kToEnd : *index + 1, 1);
      dropped_.push_back(axis_);
      return true;
    }
    const Json* class_name = Find(entry, "class_name");
    const Json* range = class_name && *class_name == "__slice__" ? Find(entry, "config") : &entry;
    if (!range || !range->is_object()) return false;
    const Json *begin = Find(*range, "start"), *end = Find(*range, "stop"),
               *step = Find(*range, "step");
    if (!begin || !end || !step) return false;
    const auto from = begin->is_null() ? std::optional<std::int64_t>(0) : Function::Integer(begin);
    const auto to = end->is_null() ? std::optional(network::Slice::kToEnd) : Function::Integer(end);
    const auto by = step->is_null() ? std::optional<std::int64_t>(1) : Function::Integer(step);
    if (!from || !to || !by || *by < 1) return false;
    if (*from != 0 || *to != network::Slice::kToEnd || *by != 1) Take(*from, *to, *by);
    return true;
  }

  void Take(std::int64_t begin, std::int64_t end, std::int64_t step) {
    slice_.axes.push_back(axis_);
    slice_.begin.push_back(begin);
    slice_.end.push_back(end);
    slice_.step.push_back(step);
  }

  std::int64_t axis_ = 0;
  network::Slice slice_;
  Sizes dropped_;
};

NetworkValue Indexed(const Function& function) {
  const bool tensorflow = function.name() == "__operators__.getitem";
  if (function.name() != "GetItem" && !tensorflow) return kNoValue;
  const LayerCall& call = function.call();
  const Argument key = call.ArgumentOf(1, tensorflow ? "slice_spec" : "key");
  const NetworkValue x = function.Operand(0, tensorflow ? "tensor" : "x");
  Indexing indexing;
  if (x == kNoValue || !key.is_given() || !key.tensors.empty() || !indexing.Read(*key.value)) {
    return kNoValue;
  }
  return indexing.Translate(call, x);
}

NetworkValue Resized(const Function& function) {
  const bool tensorflow = function.name() == "image.resize";
  const bool keras = function.name() == "Resize" && !function.is_tensorflow();
  if (!tensorflow && !keras) return kNoValue;
  const LayerCall& call = function.call();
  const NetworkValue x = function.Operand(0, "images");
  const auto sizes = function.Integers(1, "size");
  const Json* word = function.Attribute(2, tensorflow ? "method" : "interpolation");
  const auto resize = ResizeOf(word && word->is_string() ? word->get<std::string>() : "bilinear");
  const bool other = function.Flag(kByName, "antialias") ||
                     function.Flag(kByName, "preserve_aspect_ratio") ||
                     function.Flag(kByName, "crop_to_aspect_ratio") ||
                     function.Flag(kByName, "pad_to_aspect_ratio");
  const Json* format = function.Attribute(kByName, "data_format");
  const bool last = tensorflow || (format && *format == "channels_last");
  if (x == kNoValue || !sizes || sizes->size() != 2 || !resize || other || !last ||
      call.builder.RankOf(x) != 4) {
    return kNoValue;
  }
  network::Resize resized = *resize;
  resized.sizes = *sizes;
  resized.axes = {1, 2};
  return call.Add(resized, {x});
}

}  // namespace

NetworkValue TranslateMovingFunction(const Function& function) {
  for (const auto translate : {Reshaped, Moved, Joined, Parted, Indexed, Resized}) {
    const NetworkValue value = translate(function);
    if (value != kNoValue) return value;
  }
  return kNoValue;
}

}  // namespace ckpt::formats::keras
