#include <algorithm>
#include <set>

#include "formats/container/output_tensor.h"
#include "formats/hdf5/hdf5_output.h"
#include "formats/keras/h5/keras_h5.h"
#include "formats/keras/model/output_layout.h"
#include "formats/keras/model/weight_names.h"

namespace ckpt::formats {
namespace {

using keras::OutputGroup;
using keras::OutputLayout;
using keras::OutputWeight;
using Kind = keras::WeightGroup::Kind;

// What loaders are told where the source had no Keras version: none would mean Keras 1 to them,
// whose kernels they transpose.
constexpr const char* kLayoutVersion = "2.15.0";
constexpr const char* kLayoutBackend = "tensorflow";

Hdf5Writer::Charset CharsetOf(std::string_view text) {
  const bool ascii = std::all_of(text.begin(), text.end(), [](char c) { return (c & 0x80) == 0; });
  return ascii ? Hdf5Writer::Charset::kAscii : Hdf5Writer::Charset::kUtf8;
}

class KerasH5Writer {
 public:
  KerasH5Writer(Hdf5Writer& file, const OutputModel& model, const OutputLayout& layout)
      : file_(file), model_(model), layout_(layout) {}

  Status Write() {
    const std::string weights = layout_.whole_model ? layout_.prefix : "/";
    CKPT_RETURN_IF_ERROR(file_.CreateGroup(weights));
    CKPT_RETURN_IF_ERROR(WriteVersion(weights));
    if (layout_.whole_model) {
      CKPT_RETURN_IF_ERROR(WriteVersion("/"));
      CKPT_RETURN_IF_ERROR(WriteText("/", "model_config", *Text("model_config")));
    }
    const bool has_optimizer =
        std::any_of(layout_.groups.begin(), layout_.groups.end(),
                    [](const OutputGroup& group) { return group.kind == Kind::kOptimizer; });
    if (const std::string* training = Text("training_config"); training && has_optimizer) {
      CKPT_RETURN_IF_ERROR(WriteText("/", "training_config", *training));
    }
    CKPT_RETURN_IF_ERROR(WriteNames(weights, "layer_names", LayerNames()));
    return WriteGroups();
  }

 private:
  const std::string* Text(std::string_view name) const { return keras::FindDocument(model_, name); }

  Status WriteText(const std::string& object, const std::string& name, const std::string& text) {
    return file_.SetText(object, name, text, CharsetOf(text));
  }

  Status WriteVersion(const std::string& object) {
    const bool from_keras_h5 = Text(keras::kWeightOrderDocument) != nullptr;
    const auto write = [&](const char* key, const char* fallback) -> Status {
      const auto recorded = model_.metadata.find(key);
      if (recorded != model_.metadata.end()) return WriteText(object, key, recorded->second);
      // A file of Keras that said nothing still says nothing.
      return from_keras_h5 ? Status() : WriteText(object, key, fallback);
    };
    CKPT_RETURN_IF_ERROR(write("keras_version", kLayoutVersion));
    CKPT_RETURN_IF_ERROR(write("backend", kLayoutBackend));
    if (from_keras_h5 || model_.framework == Framework::kKeras) return {};
    const std::string names_of =
        model_.framework ? std::string(Name(*model_.framework)) : "unknown";
    return WriteText(object, keras::kNamesOf, names_of);
  }

  std::vector<std::string> LayerNames() const {
    std::vector<std::string> names;
    for (const OutputGroup& group : layout_.groups) {
      if (group.kind == Kind::kLayer) names.push_back(group.layer);
    }
    return names;
  }

  // Keras' rule: the fewest parts that fit, the first ones a name longer.
  Status WriteNames(const std::string& object, const std::string& name,
                    const std::vector<std::string>& names) {
    std::size_t longest = 1;
    std::string all;
    for (const std::string& text : names) longest = std::max(longest, text.size());
    for (const std::string& text : names) all += text;
    const auto fits = [&](std::size_t count) { return count * longest <= kHdf5AttributeBytes; };
    std::size_t parts = 1;
    while (parts < names.size() && !fits((names.size() + parts - 1) / parts)) ++parts;
    std::span<const std::string> rest(names);
    for (std::size_t i = 0; i < parts; ++i) {
      const std::size_t count = names.size() / parts + (i < names.size() % parts ? 1 : 0);
      const std::string key = parts == 1 ? name : name + std::to_string(i);
      CKPT_RETURN_IF_ERROR(file_.SetTexts(object, key, rest.first(count),
                                          Hdf5Writer::StringKind::kFixed, CharsetOf(all)));
      rest = rest.subspan(count);
    }
    return {};
  }

  // By path, as Keras does, so that no group stands where another one's datasets come.
  Status WriteGroups() {
    std::vector<const OutputGroup*> groups;
    for (const OutputGroup& group : layout_.groups) groups.push_back(&group);
    std::stable_sort(groups.begin(), groups.end(),
                     [](const OutputGroup* a, const OutputGroup* b) { return a->path < b->path; });
    for (const OutputGroup* group : groups) CKPT_RETURN_IF_ERROR(WriteGroup(*group));
    const bool has_top_level =
        std::any_of(groups.begin(), groups.end(),
                    [](const OutputGroup* group) { return group->kind == Kind::kTopLevel; });
    if (has_top_level) return {};
    return WriteGroup({Kind::kTopLevel, "", layout_.prefix + "/top_level_model_weights"});
  }

  Status WriteGroup(const OutputGroup& group) {
    std::vector<std::string> names;
    if (group.kind != Kind::kOther) {
      CKPT_RETURN_IF_ERROR(file_.CreateGroup(group.path));
      for (const OutputWeight& weight : group.weights) names.push_back(weight.stored);
      CKPT_RETURN_IF_ERROR(WriteNames(group.path, "weight_names", names));
    }
    std::set<std::string> written;
    for (const OutputWeight& weight : group.weights) {
      const std::string path =
          group.kind == Kind::kOther ? weight.stored : group.path + "/" + weight.stored;
      if (written.insert(path).second) CKPT_RETURN_IF_ERROR(WriteTensor(path, weight.tensor));
    }
    return {};
  }

  Status WriteTensor(const std::string& path, std::size_t index) {
    const TensorInfo& info = model_.tensors[index];
    CKPT_RETURN_IF_ERROR(file_.CreateDataset(path, info.dtype, info.shape));
    return PullTensor(model_, index,
                      [this](std::span<const std::byte> bytes) { return file_.Append(bytes); });
  }

  Hdf5Writer& file_;
  const OutputModel& model_;
  const OutputLayout& layout_;
};

// Can every part of the name be a link of a group?
bool IsHdf5Path(std::string_view name) {
  while (true) {
    const std::string_view part = name.substr(0, name.find('/'));
    if (part.empty() || part == "." || part.find('\0') != std::string_view::npos) return false;
    if (part.size() == name.size()) return true;
    name.remove_prefix(part.size() + 1);
  }
}

}  // namespace

Status CanHoldKerasH5(const TensorInfo& tensor) {
  Status held = Hdf5CanHold(tensor.dtype, tensor.shape);
  if (held && !IsHdf5Path(tensor.name)) {
    held = Fail(ErrorCode::kUnsupported, "HDF5 has no place for such a name");
  }
  if (!held) held.error().tensor = tensor.name;
  return held;
}

Result<WriteSummary> WriteKerasH5(AtomicOutput& output, const std::filesystem::path& path,
                                  const OutputModel& model, const WriteOptions&) {
  for (const TensorInfo& tensor : model.tensors) CKPT_RETURN_IF_ERROR(CanHoldKerasH5(tensor));
  CKPT_ASSIGN_OR_RETURN(const OutputLayout layout, keras::PlanOutput(model));
  return WriteHdf5File(
      output, path, [&](Hdf5Writer& file) { return KerasH5Writer(file, model, layout).Write(); });
}

}  // namespace ckpt::formats
