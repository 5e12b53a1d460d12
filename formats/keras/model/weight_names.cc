#include "formats/keras/model/weight_names.h"

#include <algorithm>
#include <cctype>

#include "formats/keras/model/variable_names.h"

namespace ckpt::formats::keras {
namespace {

bool IsDecimalDigit(char c) { return c >= '0' && c <= '9'; }

// What Keras 1 puts behind "<layer>_"; a name that ends in another one of these stands later.
constexpr std::string_view kKeras1Locals[] = {"depthwise_kernel",
                                              "pointwise_kernel",
                                              "running_mean",
                                              "running_std",
                                              "gamma",
                                              "beta",
                                              "alphas",
                                              "W_i",
                                              "W_f",
                                              "W_c",
                                              "W_o",
                                              "W_z",
                                              "W_r",
                                              "W_h",
                                              "U_i",
                                              "U_f",
                                              "U_c",
                                              "U_o",
                                              "U_z",
                                              "U_r",
                                              "U_h",
                                              "b_i",
                                              "b_f",
                                              "b_c",
                                              "b_o",
                                              "b_z",
                                              "b_r",
                                              "b_h",
                                              "W",
                                              "U",
                                              "b"};

std::vector<std::string> Split(std::string_view path) {
  std::vector<std::string> parts;
  while (!path.empty()) {
    const std::size_t slash = std::min(path.find('/'), path.size());
    if (slash > 0) parts.emplace_back(path.substr(0, slash));
    path.remove_prefix(std::min(slash + 1, path.size()));
  }
  return parts;
}

WeightName SplitFlat(std::string_view group, std::string_view name) {
  if (name.size() > group.size() + 1 && name.starts_with(group) && name[group.size()] == '_') {
    return {Split(group), std::string(name.substr(group.size() + 1))};
  }
  for (const std::string_view local : kKeras1Locals) {
    if (name.size() > local.size() + 1 && name.ends_with(local) &&
        name[name.size() - local.size() - 1] == '_') {
      return {{std::string(name.substr(0, name.size() - local.size() - 1))}, std::string(local)};
    }
  }
  return {{}, std::string(name)};
}

}  // namespace

std::string_view WithoutOutputNumber(std::string_view stored) {
  const std::size_t colon = stored.rfind(':');
  if (colon == std::string_view::npos || colon + 1 == stored.size()) return stored;
  const std::string_view number = stored.substr(colon + 1);
  return std::all_of(number.begin(), number.end(), IsDecimalDigit) ? stored.substr(0, colon)
                                                                   : stored;
}

WeightName SplitWeightName(std::string_view group, std::string_view stored) {
  const std::string_view name = WithoutOutputNumber(stored);
  std::vector<std::string> parts = Split(name);
  if (parts.size() < 2) return SplitFlat(group, name);
  WeightName split;
  split.local = std::move(parts.back());
  parts.pop_back();
  split.scope = std::move(parts);
  return split;
}

std::string Joined(const std::vector<std::string>& scope, std::string_view local) {
  std::string name;
  for (const std::string& part : scope) name.append(part).append("/");
  return name.append(local);
}

std::string TensorName(std::string_view group, std::string_view stored) {
  const WeightName weight = SplitWeightName(group, stored);
  const std::vector<std::string> prefix = Split(group);
  const auto at =
      std::search(weight.scope.begin(), weight.scope.end(), prefix.begin(), prefix.end());
  std::vector<std::string> scope = prefix;
  if (at != weight.scope.end()) {
    scope.insert(scope.end(), at + static_cast<std::ptrdiff_t>(prefix.size()), weight.scope.end());
  } else if (weight.scope.size() != 1 || WithoutCounter(weight.scope[0]) != WithoutCounter(group)) {
    scope.insert(scope.end(), weight.scope.begin(), weight.scope.end());
  }
  return Joined(scope, weight.local);
}

}  // namespace ckpt::formats::keras
