// One call of a function among the layers, whichever generation of Keras recorded it.
//
// Keras 3 lists functions by class, with what is no tensor in the config; Keras 2 as TFOpLambda
// with the function's name, and everything as arguments of the call.
#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "formats/keras/model/layer_call.h"

namespace ckpt::formats::keras {

inline constexpr std::size_t kByName = SIZE_MAX;  // the place of an argument that only has a name

class Function {
 public:
  explicit Function(const LayerCall& call) : call_(call) {
    tensorflow_ = call.class_name == "TFOpLambda" || call.class_name == "SlicingOpLambda";
    name_ = tensorflow_ ? call.Text("function").value_or("") : call.class_name;
    const Json* module = Find(*call.record.entry, "module");
    // HDF5 files record no module.
    known_ = tensorflow_ || module == nullptr ||
             (module->is_string() &&
              module->get_ref<const std::string&>().starts_with("keras.src.ops."));
  }

  bool is_known() const { return known_ && !call_.inputs.empty(); }
  const std::string& name() const { return name_; }
  bool is_tensorflow() const { return tensorflow_; }
  const LayerCall& call() const { return call_; }

  // What is no tensor: of the config, or of the call by its place or name. Null where it is absent.
  const Json* Attribute(std::size_t place, std::string_view name) const {
    if (!tensorflow_) {
      const Json* value = Find(call_.config, name);
      return value && !value->is_null() ? value : nullptr;
    }
    const Argument argument = call_.ArgumentOf(place, name);
    return argument.tensors.empty() ? argument.value : nullptr;
  }
  bool Flag(std::size_t place, std::string_view name) const {
    const Json* value = Attribute(place, name);
    return value && value->is_boolean() && value->get<bool>();
  }
  std::optional<double> Number(std::size_t place, std::string_view name) const {
    const Json* value = Attribute(place, name);
    return value && value->is_number() ? std::optional(value->get<double>()) : std::nullopt;
  }
  static std::optional<std::int64_t> Integer(const Json* value) {
    if (!value || !value->is_number_integer()) return std::nullopt;
    if (value->is_number_unsigned() && value->get<std::uint64_t>() > std::uint64_t{1} << 40) {
      return std::nullopt;
    }
    const auto integer = value->get<std::int64_t>();
    constexpr std::int64_t kLargest = std::int64_t{1} << 40;
    return integer < -kLargest ? std::nullopt : std::optional(integer);
  }
  // An integer or a list of them; absent where it is anything else.
  std::optional<network::Sizes> Integers(std::size_t place, std::string_view name) const {
    const Json* value = Attribute(place, name);
    if (!value) return std::nullopt;
    if (const auto one = Integer(value)) return network::Sizes{*one};
    if (!value->is_array()) return std::nullopt;
    network::Sizes integers;
    for (const Json& element : *value) {
      const auto integer = Integer(&element);
      if (!integer) return std::nullopt;
      integers.push_back(*integer);
    }
    return integers;
  }
  std::int64_t Axis(std::size_t place, std::int64_t fallback) const {
    return Integer(Attribute(place, "axis")).value_or(fallback);
  }
  bool HasAxisOrNone(std::size_t place) const {
    return !Attribute(place, "axis") || Integer(Attribute(place, "axis"));
  }

  // An operand: a tensor, or a number; network::kNoValue where it is neither.
  network::ValueId Operand(std::size_t place, std::string_view name) const {
    const Argument argument = call_.ArgumentOf(place, name);
    if (argument.is_tensor) return argument.tensors[0];
    if (!argument.tensors.empty() || !argument.value || !argument.value->is_number()) {
      return network::kNoValue;
    }
    return call_.builder.AddScalar(argument.value->get<double>());
  }

  // Has the call no argument but these? Its own name decides nothing.
  bool HasOnly(std::size_t places, std::initializer_list<std::string_view> names) const {
    std::vector<std::string_view> all(names);
    for (const CallArgument& argument : call_.arguments) {
      const bool named = argument.keyword == "name" && tensorflow_;
      const bool listed = std::find(all.begin(), all.end(), argument.keyword) != all.end();
      const bool absent = argument.value->is_null() ||
                          (argument.value->is_boolean() && !argument.value->get<bool>());
      if (argument.keyword.empty()) {
        if (places-- == 0) return false;
      } else if (!named && !listed && !absent) {
        return false;
      }
    }
    return true;
  }

 private:
  const LayerCall& call_;
  bool tensorflow_ = false, known_ = false;
  std::string name_;
};

// Those that only move elements; network::kNoValue where the function is none of them.
network::ValueId TranslateMovingFunction(const Function& function);

}  // namespace ckpt::formats::keras
