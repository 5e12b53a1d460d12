#include "ckpt/recorded_module.h"

#include "ckpt/checkpoint.h"

namespace ckpt {

std::string_view Name(ModuleRecord record) noexcept {
  switch (record) {
    case ModuleRecord::kStateDict:
      return "the state dict's _metadata";
    case ModuleRecord::kPickled:
      return "the pickled module";
    case ModuleRecord::kScript:
      return "TorchScript";
  }
  return "";
}

const RecordedValue* RecordedModule::Attribute(std::string_view name) const {
  const auto found = attributes.find(name);
  return found == attributes.end() ? nullptr : &found->second;
}

std::optional<double> AsNumber(const RecordedValue& value) {
  if (const auto* real = std::get_if<double>(&value)) return *real;
  if (const auto* integer = std::get_if<std::int64_t>(&value)) {
    return static_cast<double>(*integer);
  }
  return std::nullopt;
}

std::optional<bool> AsBool(const RecordedValue& value) {
  const auto* boolean = std::get_if<bool>(&value);
  return boolean == nullptr ? std::nullopt : std::optional(*boolean);
}

ModuleIndex::ModuleIndex(const Manifest& manifest) {
  modules_.reserve(manifest.modules.size());
  for (const RecordedModule& module : manifest.modules) modules_.emplace(module.scope, &module);
}

const RecordedModule* ModuleIndex::Find(std::string_view scope) const {
  const auto found = modules_.find(scope);
  return found == modules_.end() ? nullptr : found->second;
}

}  // namespace ckpt
