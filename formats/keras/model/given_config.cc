#include "formats/keras/model/given_config.h"

namespace ckpt::formats::keras {

std::optional<GivenConfig> ConfigOf(const Manifest& model) {
  if (!model.graph || model.framework != Framework::kKeras) return std::nullopt;
  for (const Document& document : model.documents) {
    const bool archived = document.name == "config.json";
    if (!archived && document.name != "model_config") continue;
    return GivenConfig{document.text, model.framework_version, model.resolved, archived};
  }
  return std::nullopt;
}

}  // namespace ckpt::formats::keras
