#include "formats/keras/model/config_attributes.h"

namespace ckpt::formats::keras {
namespace {

std::optional<std::int64_t> IntegerOf(const Json* value) {
  constexpr std::int64_t kLargest = std::int64_t{1} << 40;  // far above any dimension
  if (!value || !value->is_number_integer()) return std::nullopt;
  const bool fits = value->is_number_unsigned()
                        ? value->get<std::uint64_t>() <= static_cast<std::uint64_t>(kLargest)
                        : value->get<std::int64_t>() >= -kLargest;
  return fits ? std::optional(value->get<std::int64_t>()) : std::nullopt;
}

}  // namespace

bool ConfigAttributes::IsSet(std::string_view key) const {
  const Json* value = Find(config_, key);
  return value && !value->is_null() && !(value->is_boolean() && !value->get<bool>());
}

std::optional<std::string> ConfigAttributes::Text(std::string_view key) const {
  const Json* value = Find(config_, key);
  if (!value || !value->is_string()) return std::nullopt;
  return value->get<std::string>();
}

bool ConfigAttributes::Flag(std::string_view key, bool fallback) const {
  const Json* value = Find(config_, key);
  return value && value->is_boolean() ? value->get<bool>() : fallback;
}

std::optional<double> ConfigAttributes::Number(std::string_view key) const {
  const Json* value = Find(config_, key);
  if (!value || !value->is_number()) return std::nullopt;
  return value->get<double>();
}

std::optional<std::int64_t> ConfigAttributes::Integer(std::string_view key) const {
  return IntegerOf(Find(config_, key));
}

network::Sizes ConfigAttributes::PerAxis(std::initializer_list<std::string_view> keys,
                                         std::size_t axes) const {
  for (const std::string_view key : keys) {
    const Json* value = Find(config_, key);
    if (!value || value->is_null()) continue;
    if (const auto one = IntegerOf(value)) return network::Sizes(axes, *one);
    network::Sizes sizes;
    for (std::size_t i = 0; value->is_array() && i < value->size(); ++i) {
      if (const auto size = IntegerOf(&(*value)[i])) sizes.push_back(*size);
    }
    return sizes.size() == axes ? sizes : network::Sizes{};
  }
  return {};
}

std::optional<std::int64_t> ConfigAttributes::ChannelAxis() const {
  const Json* format = Find(config_, "data_format");
  if (!format) format = Find(config_, "dim_ordering");
  if (!format || format->is_null()) return -1;
  if (!format->is_string()) return std::nullopt;
  const std::string& text = format->get_ref<const std::string&>();
  if (text == "channels_last" || text == "tf") return -1;
  if (text == "channels_first" || text == "th") return 1;
  return std::nullopt;
}

std::optional<std::int64_t> ConfigAttributes::NormalizedAxis() const {
  const Json* axis = Find(config_, "axis");
  if (!axis) return -1;
  return IntegerOf(axis->is_array() && axis->size() == 1 ? &(*axis)[0] : axis);
}

network::Padding ConfigAttributes::Padding() const {
  std::optional<std::string> padding = Text("padding");
  if (!padding) padding = Text("border_mode");
  if (!padding || *padding == "valid") return {};
  if (*padding == "same") return {network::PaddingRule::kSameUpper, {}, {}};
  // "causal" pads whatever the strides are; how much the kernel says.
  return {network::PaddingRule::kExplicit, {1}, {1}};
}

std::string ConfigAttributes::Activation() const {
  const Json* activation = Find(config_, "activation");
  if (!activation || activation->is_null()) return "linear";
  if (activation->is_string()) return activation->get<std::string>();
  return ConfigAttributes(*activation).Text("class_name").value_or("unknown");
}

std::string ConfigAttributes::Relu() const {
  const double slope = Number("negative_slope").value_or(0);
  const std::optional<double> bound = Number("max_value");
  if (Number("threshold").value_or(0) != 0 || (slope != 0 && bound)) return "unknown";
  if (bound) return *bound == 6 ? "relu6" : "unknown";
  return slope == 0 ? "relu" : "leaky_relu";
}

}  // namespace ckpt::formats::keras
