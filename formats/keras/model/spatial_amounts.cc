#include "formats/keras/model/spatial_amounts.h"

#include <optional>

namespace ckpt::formats::keras {

bool ReadAmounts(const Json* value, std::size_t axes, network::Sizes& before,
                 network::Sizes& after) {
  if (value == nullptr) return false;
  const auto integer = [](const Json& json) -> std::optional<std::int64_t> {
    if (!json.is_number_integer()) return std::nullopt;
    const auto number = json.get<std::int64_t>();
    return number >= 0 && number < std::int64_t{1} << 40 ? std::optional(number) : std::nullopt;
  };
  if (const auto one = integer(*value)) {
    before.assign(axes, *one);
    after.assign(axes, *one);
    return true;
  }
  if (!value->is_array()) return false;
  if (axes == 1 && value->size() == 2 && !(*value)[0].is_array()) {
    const auto first = integer((*value)[0]), second = integer((*value)[1]);
    if (!first || !second) return false;
    before = {*first};
    after = {*second};
    return true;
  }
  if (value->size() != axes) return false;
  for (const Json& element : *value) {
    const bool pair = element.is_array() && element.size() == 2;
    const auto first = integer(pair ? element[0] : element);
    const auto second = integer(pair ? element[1] : element);
    if (!first || !second) return false;
    before.push_back(*first);
    after.push_back(*second);
  }
  return true;
}

network::Sizes SpatialAxes(std::size_t axes, std::int64_t channel_axis) {
  network::Sizes listed;
  for (std::size_t i = 0; i < axes; ++i) {
    listed.push_back(static_cast<std::int64_t>(i) + (channel_axis == 1 ? 2 : 1));
  }
  return listed;
}

}  // namespace ckpt::formats::keras
