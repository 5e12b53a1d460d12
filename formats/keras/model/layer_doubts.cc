#include "formats/keras/model/layer_doubts.h"

#include <algorithm>
#include <string_view>

#include "ckpt/layer_computation.h"

namespace ckpt::formats::keras {
namespace {

// Classes whose translation reads the arguments of the call.
constexpr std::string_view kReadsItsArguments[] = {"LSTM",
                                                   "GRU",
                                                   "SimpleRNN",
                                                   "Bidirectional",
                                                   "MultiHeadAttention",
                                                   "Attention",
                                                   "AdditiveAttention"};

// Classes that DescribeLayer() does not describe.
constexpr std::string_view kTranslatedAlone[] = {"LayerNormalization",
                                                 "RMSNormalization",
                                                 "GroupNormalization",
                                                 "UnitNormalization",
                                                 "Rescaling",
                                                 "Normalization",
                                                 "LayerScale",
                                                 "CustomScaleLayer",
                                                 "EinsumDense",
                                                 "Embedding",
                                                 "Multiply",
                                                 "Average",
                                                 "Maximum",
                                                 "Minimum",
                                                 "Subtract",
                                                 "Dot",
                                                 "Cropping1D",
                                                 "Cropping2D",
                                                 "Cropping3D",
                                                 "Permute",
                                                 "RepeatVector",
                                                 "Resizing",
                                                 "Merge"};

// Classes without weights that it does not describe within a TimeDistributed.
bool IsPlainWithinSteps(std::string_view name) {
  static constexpr std::string_view kNames[] = {
      "Flatten", "Reshape", "Softmax", "Dropout", "GaussianNoise", "GaussianDropout", "Identity"};
  static constexpr std::string_view kStems[] = {
      "MaxPool",        "MaxPooling",           "AvgPool",     "AveragePooling",
      "GlobalMaxPool",  "GlobalMaxPooling",     "ZeroPadding", "GlobalAvgPool",
      "SpatialDropout", "GlobalAveragePooling", "UpSampling"};
  return Contains(kNames, name) || Contains(kStems, SpatialClassOf(name).stem);
}

bool IsKnown(const LayerCall& call) {
  const std::string_view name = call.class_name;
  if (!IsUnknown(call.layer) || name.starts_with("Random")) return true;
  const bool within_steps = call.record.class_name == "TimeDistributed";
  return Contains(kReadsItsArguments, name) || Contains(kTranslatedAlone, name) ||
         (within_steps && IsPlainWithinSteps(name));
}

// The package of an entry's class, or of the classes in it that it wraps, which is not Keras'.
std::string PackageOf(const Json& entry) {
  std::string package = ForeignPackage(entry);
  const Json* class_name = Find(entry, "class_name");
  if (package.empty() && class_name && class_name->is_string()) {
    const auto& name = class_name->get_ref<const std::string&>();
    const std::size_t mark = name.find('>');
    const std::string prefix = mark == std::string::npos ? "" : name.substr(0, mark);
    static constexpr std::string_view kOwn[] = {"", "Keras", "keras", "TensorFlow", "tf_keras"};
    if (!Contains(kOwn, prefix)) package = prefix;
  }
  const Json* config = Find(entry, "config");
  for (const char* key : {"layer", "backward_layer"}) {
    const Json* wrapped = config ? Find(*config, key) : nullptr;
    if (package.empty() && wrapped && wrapped->is_object()) package = PackageOf(*wrapped);
  }
  return package;
}

}  // namespace

std::string DoubtOf(const ConfigLayer& described, const LayerCall& call) {
  const LayerRecord& record = *described.record;
  if (record.model) return "it is a model that is called in a way that is not understood";
  for (const CallRecord& one : record.calls) {
    if (!one.oddity.empty() && !Contains(kReadsItsArguments, call.class_name)) return one.oddity;
  }
  const bool scales = call.class_name == "LayerScale" || call.class_name == "CustomScaleLayer";
  const Json* module = Find(*record.entry, "module");
  const bool applications =
      scales && module && module->is_string() &&
      module->get_ref<const std::string&>().starts_with("keras.src.applications.");
  if (scales && !applications) return "its class is not known to be that of keras.applications";
  if (const std::string package = PackageOf(*record.entry); !package.empty() && !applications) {
    return "its class is not Keras' own but of " + package;
  }
  if (call.class_name == "Lambda") return "it is a function of the user's own";
  if (call.inputs.empty()) return "it is called with no tensor";
  const auto& missing = call.layer.missing_tensors;
  if (!missing.empty()) return "the file lacks its " + missing.front();
  if (!IsKnown(call)) return "its class, or what its config says beside it, is not understood";
  return {};
}

}  // namespace ckpt::formats::keras
