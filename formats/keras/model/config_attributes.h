// The attributes of a layer's config, by the names that each generation of Keras gave them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include "ckpt/network/operation.h"
#include "formats/keras/model/config_json.h"

namespace ckpt::formats::keras {

class ConfigAttributes {
 public:
  // `config` must outlive this.
  explicit ConfigAttributes(const Json& config) : config_(config) {}

  bool Has(std::string_view key) const { return Find(config_, key) != nullptr; }
  // Neither null nor false.
  bool IsSet(std::string_view key) const;
  std::optional<std::string> Text(std::string_view key) const;
  bool Flag(std::string_view key, bool fallback) const;
  std::optional<double> Number(std::string_view key) const;
  std::optional<std::int64_t> Integer(std::string_view key) const;
  // A number for each spatial axis, under the first of these names; empty where there are none.
  network::Sizes PerAxis(std::initializer_list<std::string_view> keys, std::size_t axes) const;

  // The channel axis by data_format (Keras 1: dim_ordering); channels stand last where neither is
  // recorded, as in layers that know no other. Absent: another format is named.
  std::optional<std::int64_t> ChannelAxis() const;
  // Of a batch norm; absent: several, or none that is understood.
  std::optional<std::int64_t> NormalizedAxis() const;
  // Of a window. "full" is said as some zeros on each side.
  network::Padding Padding() const;
  // "linear" where there is none.
  std::string Activation() const;
  // "relu", "relu6", "leaky_relu", or "unknown" for a ReLU with a threshold or another bound.
  std::string Relu() const;

 private:
  const Json& config_;
};

}  // namespace ckpt::formats::keras
