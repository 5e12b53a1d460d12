#include "formats/keras/model/config_code.h"

#include <algorithm>
#include <array>
#include <set>

#include "formats/keras/model/config_json.h"

namespace ckpt::formats::keras {
namespace {

template <std::size_t N>
bool IsOneOf(std::string_view name, const std::array<std::string_view, N>& names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}
template <std::size_t N>
bool BeginsWithOneOf(std::string_view name, const std::array<std::string_view, N>& starts) {
  return std::any_of(starts.begin(), starts.end(),
                     [&](std::string_view start) { return name.starts_with(start); });
}

// They hold bytecode, a pickle, operations, or the path of another model.
constexpr std::array<std::string_view, 8> kCodeClasses = {
    "Lambda",    "__lambda__", "TensorFlowOpLayer", "TorchModuleWrapper",
    "FlaxLayer", "JaxLayer",   "TFSMLayer",         "__typespec__"};
// They call a function of TensorFlow that the config names.
constexpr std::array<std::string_view, 5> kCallClasses = {
    "TFOpLambda", "SlicingOpLambda", "ClassMethod", "InstanceMethod", "InstanceProperty"};
constexpr std::array<std::string_view, 3> kPureStarts = {"math.", "nn.", "__operators__."};
constexpr std::array<std::string_view, 17> kPureFunctions = {
    "cast",  "clip_by_value", "concat", "expand_dims", "gather",  "identity",
    "pad",   "reshape",       "shape",  "slice",       "split",   "squeeze",
    "stack", "strided_slice", "tile",   "transpose",   "unstack",
};
// Modules whose functions are arithmetic on tensors.
constexpr std::array<std::string_view, 14> kFunctionModules = {
    "builtins",           "keras.activations",     "keras.src.activations", "keras.constraints",
    "keras.initializers", "keras.losses",          "keras.metrics",         "keras.ops",
    "keras.regularizers", "keras.src.losses",      "keras.src.metrics",     "keras.src.ops",
    "keras.layers",       "keras.src.initializers"};

bool IsOfModule(std::string_view name, std::string_view module) {
  return name == module ||
         (name.size() > module.size() && name.starts_with(module) && name[module.size()] == '.');
}

bool IsIdentifier(std::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  });
}

bool IsPure(std::string_view function) {
  return BeginsWithOneOf(function, kPureStarts) || IsOneOf(function, kPureFunctions);
}

class CodeSearch {
 public:
  void Visit(const Json& json) {
    if (json.is_object()) VisitObject(json);
    if (!json.is_structured()) return;
    for (const Json& inner : json) Visit(inner);
  }
  std::vector<std::string> Take() { return std::move(found_); }

 private:
  static std::string TextOf(const Json* json) {
    return json != nullptr && json->is_string() ? json->get<std::string>() : std::string();
  }
  static bool IsSet(const Json* json) { return json != nullptr && !json->is_null(); }

  void Add(std::string phrase) {
    if (seen_.insert(phrase).second) found_.push_back(std::move(phrase));
  }

  void VisitObject(const Json& json) {
    const Json* const class_name = Find(json, "class_name");
    const std::string name = TextOf(class_name);
    if (IsSet(class_name)) CheckClass(name, json);
    if (const Json* module = Find(json, "module"); IsSet(module)) {
      CheckModule(TextOf(module), name, json);
    }
    const Json* const registered = Find(json, "registered_name");
    if (IsSet(registered) && TextOf(registered) != name) {
      Add("the custom object \"" + TextOf(registered) + "\"");
    }
    for (const char* path : {"vocabulary", "idf_weights"}) {
      const Json* const value = Find(json, path);
      if (value != nullptr && value->is_string()) {
        Add("the file \"" + TextOf(value) + "\" that \"" + path + "\" names");
      }
    }
  }

  void CheckClass(const std::string& name, const Json& json) {
    if (!IsIdentifier(name)) return Add("the custom class \"" + name + "\"");
    if (IsOneOf(name, kCodeClasses)) return Add("the class " + name);
    if (!IsOneOf(name, kCallClasses)) return;
    const Json* const config = Find(json, "config");
    std::string function = config == nullptr ? std::string() : TextOf(Find(*config, "function"));
    if (name == "SlicingOpLambda" && function == "__operators__.getitem") return;
    if (name != "TFOpLambda" || !IsPure(function)) {
      Add("the class " + name + (function.empty() ? "" : " with the function " + function));
    }
  }

  // A class of Keras itself is begun with a capital letter; what else can be imported by a name is
  // a function, which is called with what the config says.
  void CheckModule(const std::string& module, const std::string& name, const Json& json) {
    const bool of_keras = IsOfModule(module, "keras");
    const bool pure =
        std::any_of(kFunctionModules.begin(), kFunctionModules.end(),
                    [&](std::string_view known) { return IsOfModule(module, known); });
    const bool capital = !name.empty() && name[0] >= 'A' && name[0] <= 'Z';
    if (name == "function") {
      const std::string function = TextOf(Find(json, "config"));
      if (!pure || !IsIdentifier(function)) Add("the function " + module + "." + function);
    } else if (!(of_keras && capital) && !pure) {
      Add("the module \"" + module + "\"");
    }
  }

  std::vector<std::string> found_;
  std::set<std::string> seen_;
};

}  // namespace

Result<std::vector<std::string>> CodeInConfig(std::string_view text) {
  CKPT_ASSIGN_OR_RETURN(const Json config, ParseConfigJson(text));
  CodeSearch search;
  search.Visit(config);
  return search.Take();
}

}  // namespace ckpt::formats::keras
