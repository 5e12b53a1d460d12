#include "roles/recorded_modules.h"

#include <cmath>
#include <vector>

#include "roles/scope_words.h"

namespace ckpt {
namespace {

// torch.nn's batch and instance norms are of version 2 since their counter came (1.0); a module
// that sets none is of version 1, as are all other norms.
constexpr std::int64_t kCountedVersion = 2;

// torch.batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps, cudnn)
constexpr std::string_view kOperator = "torch.batch_norm";
constexpr std::size_t kTraining = 5, kMomentumNumber = 6, kEpsilonNumber = 7;

std::string_view ClassWord(const RecordedModule& module) {
  return Components(module.class_name).back();
}

bool IsNorm(const RecordedModule& module) {
  const std::string_view word = ClassWord(module);
  return SaysBatchNorm(word) || SaysOtherNorm(word);
}

// The argument of the operator, if all calls in the module's code agree on it.
const RecordedValue* Argument(const RecordedModule& module, std::size_t index) {
  const RecordedValue* value = nullptr;
  for (const RecordedCall& call : module.calls) {
    if (call.op != kOperator || call.arguments.size() <= index) continue;
    const auto& argument = call.arguments[index];
    if (!argument || (value != nullptr && *value != *argument)) return nullptr;
    value = &*argument;
  }
  return value;
}

std::string Source(const RecordedModule& module, std::string_view what) {
  return std::string(Name(module.record)) + ": " + std::string(what) + " of " + module.class_name;
}

// What a class sets as an attribute, else what its code hands to the operator.
const RecordedValue* Recorded(const RecordedModule& module, std::string_view attribute,
                              std::size_t argument) {
  const RecordedValue* const value = module.Attribute(attribute);
  return value != nullptr ? value : Argument(module, argument);
}

void ReadEpsilon(const RecordedModule& module, BatchNorm& norm) {
  const RecordedValue* const value = Recorded(module, "eps", kEpsilonNumber);
  const auto epsilon = value == nullptr ? std::nullopt : AsNumber(*value);
  if (!epsilon || !std::isfinite(*epsilon) || *epsilon < 0) return;
  norm.epsilon = {*epsilon, {EvidenceSource::kFrameworkRecord, Source(module, "eps")}};
}

void ReadMomentum(const RecordedModule& module, BatchNorm& norm) {
  const RecordedValue* const value = Recorded(module, "momentum", kMomentumNumber);
  if (value == nullptr) return;
  const Evidence evidence{EvidenceSource::kFrameworkRecord, Source(module, "momentum")};
  if (std::holds_alternative<std::monostate>(*value)) {
    norm.cumulative = evidence;
    return;
  }
  const auto momentum = AsNumber(*value);
  if (!momentum || !(*momentum >= 0 && *momentum <= 1)) return;
  norm.momentum = {1 - *momentum, evidence};
}

void ReadMode(const ModuleIndex& modules, const RecordedModule& module, BatchNorm& norm) {
  const RecordedValue* const argument = Argument(module, kTraining);
  const RecordedValue* const attribute = module.Attribute("training");
  const auto is = [](const RecordedValue* value, bool wanted) {
    return value != nullptr && AsBool(*value) == wanted;
  };
  if (is(argument, true)) {
    norm.training_mode = "its code calls " + std::string(kOperator) + " with training True";
  } else if (argument == nullptr && is(attribute, true)) {
    // Quantised modules have no way of normalising but by the moving statistics.
    norm.saved_in_training = module.record == ModuleRecord::kScript &&
                             module.class_name.find(".quantized.") == std::string::npos;
  }
  // eval() on this layer alone, while the model trains.
  const RecordedModule* const model = modules.Find("");
  const bool trains =
      model != nullptr && model != &module && is(model->Attribute("training"), true);
  if (trains && is(attribute, false)) norm.frozen = true;
}

}  // namespace

std::optional<RecordedKind> KindOf(const ModuleIndex& modules, std::string_view scope) {
  const RecordedModule* const module = modules.Find(scope);
  if (module == nullptr) return std::nullopt;
  if (!module->class_name.empty()) {
    return RecordedKind{SaysBatchNorm(ClassWord(*module)),
                        {EvidenceSource::kFrameworkRecord,
                         std::string(Name(module->record)) + ": a " + module->class_name}};
  }
  if (!module->version || *module->version >= kCountedVersion) return std::nullopt;
  return RecordedKind{
      false,
      {EvidenceSource::kFrameworkRecord,
       std::string(Name(module->record)) + ": version " + std::to_string(*module->version)}};
}

void ReadModule(const ModuleIndex& modules, BatchNorm& batch_norm) {
  const RecordedModule* const module = modules.Find(batch_norm.scope);
  if (module == nullptr || module->record == ModuleRecord::kStateDict) return;
  if (!batch_norm.epsilon) ReadEpsilon(*module, batch_norm);
  // Which of two conventions the momentum of an unknown class follows is not known.
  const bool torch = IsNorm(*module) || Argument(*module, kMomentumNumber) != nullptr;
  if (!batch_norm.momentum && torch) ReadMomentum(*module, batch_norm);
  ReadMode(modules, *module, batch_norm);
}

std::optional<Evidence> InAveragedModel(const NameIndex& names, std::string_view scope) {
  while (true) {
    const std::size_t dot = scope.rfind('.');
    scope = dot == std::string_view::npos ? std::string_view() : scope.substr(0, dot);
    const std::string name = (scope.empty() ? "" : std::string(scope) + '.') + "n_averaged";
    if (names.Find(name)) {
      return Evidence{EvidenceSource::kNaming,
                      '"' + name + "\" counts an averaged model, whose statistics are averages"};
    }
    if (scope.empty()) return std::nullopt;
  }
}

}  // namespace ckpt
