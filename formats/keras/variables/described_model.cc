#include "formats/keras/variables/described_model.h"

#include "formats/keras/model/foreign_classes.h"
#include "formats/keras/model/network.h"

namespace ckpt::formats::keras {

VariableManifest DescribeModel(const VariableStore& store, const std::vector<std::string>& paths,
                               const std::string& text, const std::string& version) {
  auto config = ParseModelConfig(text, version);
  VariableManifest described =
      DescribeVariables(store, paths, config ? config->get() : nullptr, KerasMajor(version));
  Manifest& manifest = described.manifest;
  manifest.framework = Framework::kKeras;
  manifest.framework_version = version;
  manifest.metadata.emplace("keras_version", version);
  if (config) {
    if (manifest.graph) SayComputations(**config, version, manifest);
    NoteForeignClasses(**config, manifest.note);
  } else {
    manifest.metadata["model_config"] = "not used: " + config.error().message;
  }
  return described;
}

}  // namespace ckpt::formats::keras
