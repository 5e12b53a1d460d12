#include "fold/module_names.h"

#include <array>

#include "ckpt/layer_computation.h"

namespace ckpt {

std::optional<std::string> Without(const std::string& name, std::string_view suffix) {
  if (!name.ends_with(suffix)) return std::nullopt;
  return name.substr(0, name.size() - suffix.size());
}

std::pair<std::string_view, std::string_view> SplitAtDot(std::string_view name) {
  const std::size_t dot = name.rfind('.');
  if (dot == std::string_view::npos) return {{}, name};
  return {name.substr(0, dot), name.substr(dot + 1)};
}

std::string_view LeafOf(const Layer& layer, std::string_view local_name, std::string_view stored) {
  struct Leaf {
    std::string_view local, leaf;
  };
  static constexpr auto kBatchNorm = std::to_array<Leaf>({{"gamma", "weight"},
                                                          {"beta", "bias"},
                                                          {"moving_mean", "running_mean"},
                                                          {"moving_variance", "running_var"}});
  static constexpr auto kLinear = std::to_array<Leaf>({{"kernel", "weight"}, {"bias", "bias"}});
  const auto in = [&](const auto& table) -> std::string_view {
    for (const Leaf& leaf : table) {
      if (leaf.local == local_name) return leaf.leaf;
    }
    return {};
  };
  if (IsBatchNorm(layer)) return in(kBatchNorm);
  if (!IsLinear(layer)) return {};
  // An attention's "in_proj_weight" is no "weight".
  const std::string_view leaf = in(kLinear), its = SplitAtDot(stored).second;
  const bool plain = its == "weight" || its == "bias" || its.starts_with("running_");
  return plain ? leaf : std::string_view();
}

bool MayBeSecondCall(std::string_view module, std::string_view stored) {
  const std::size_t end = module.find_last_not_of("0123456789");
  return end != std::string_view::npos && end + 1 < module.size() && module[end] == '_' &&
         SplitAtDot(stored).first == module.substr(0, end);
}

}  // namespace ckpt
