// What a file records about the modules (layer objects) of a model, apart from their tensors: the
// class, plain attributes, operators called. As the framework wrote it; nothing is interpreted.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

namespace ckpt {

struct Manifest;

// A plain value. monostate: the file records that there is none (Python's None).
using RecordedValue = std::variant<std::monostate, bool, std::int64_t, double, std::string,
                                   std::vector<std::int64_t>>;

// An operator that the module's own code calls, with its arguments in order; nullopt: computed, so
// that its value is known at run time only.
struct RecordedCall {
  std::string op;  // "torch.batch_norm"
  std::vector<std::optional<RecordedValue>> arguments;
};

// How a module comes to be in the file.
enum class ModuleRecord : std::uint8_t {
  kStateDict,  // the `_metadata` of a state dict: versions alone
  kPickled,    // an object of its class; the class is not in the file
  kScript,     // TorchScript: with its code, so that the file itself is what is served
};
std::string_view Name(ModuleRecord record) noexcept;  // "the pickled module", for evidence

struct RecordedModule {
  std::string scope;  // what stands before ".weight" in TensorInfo::name; empty: the model
  ModuleRecord record = ModuleRecord::kStateDict;
  std::string class_name;  // "torch.nn.modules.conv.ConvTranspose2d"; empty: not recorded
  std::optional<std::int64_t> version = {};  // of the layout of its state
  // "eps", "groups", "training"... Objects, tensors and long lists are not among them.
  std::map<std::string, RecordedValue, std::less<>> attributes = {};
  std::vector<RecordedCall> calls = {};  // only where the file holds the module's code

  // Null where it is not recorded, which is not the same as recorded as None.
  const RecordedValue* Attribute(std::string_view name) const;
};

// A number, an integer too; nullopt for anything else.
std::optional<double> AsNumber(const RecordedValue& value);
std::optional<bool> AsBool(const RecordedValue& value);

// Finds what a manifest records by scope. Refers to the manifest, which must outlive it.
class ModuleIndex {
 public:
  explicit ModuleIndex(const Manifest& manifest);
  const RecordedModule* Find(std::string_view scope) const;  // null if there is none

 private:
  std::unordered_map<std::string_view, const RecordedModule*> modules_;
};

}  // namespace ckpt
