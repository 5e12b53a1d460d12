#include <algorithm>
#include <cstring>
#include <numeric>
#include <unordered_map>
#include <unordered_set>

#include "formats/hdf5/hdf5_file.h"
#include "formats/keras/h5/bind_weights.h"
#include "formats/keras/h5/keras_h5.h"
#include "formats/keras/h5/optimizer_slots.h"
#include "formats/keras/model/foreign_classes.h"
#include "formats/keras/model/given_config.h"
#include "formats/keras/model/model_config.h"
#include "formats/keras/model/network.h"
#include "formats/keras/model/weight_names.h"
#include "formats/keras/model/weight_order.h"
#include "formats/keras/variables/keras_weights.h"
#include "formats/keras/variables/variable_groups.h"

namespace ckpt::formats {
namespace {

using keras::WeightGroup;
using keras::WeightOrder;
using Kind = WeightGroup::Kind;

constexpr char kSignature[] = {'\x89', 'H', 'D', 'F', '\r', '\n', '\x1a', '\n'};

bool StartsWithSignature(std::span<const std::byte> bytes) {
  return bytes.size() >= sizeof kSignature &&
         std::memcmp(bytes.data(), kSignature, sizeof kSignature) == 0;
}

const std::string* TextAttribute(const Hdf5Object* object, std::string_view name) {
  const Hdf5Attribute* attribute = object ? object->FindAttribute(name) : nullptr;
  return attribute ? attribute->text() : nullptr;
}

// A list of names, in one attribute or split over numbered ones; absent where there is neither.
std::optional<std::vector<std::string>> NamesAttribute(const Hdf5Object& object,
                                                       const std::string& name) {
  if (const Hdf5Attribute* whole = object.FindAttribute(name)) return whole->texts();
  std::optional<std::vector<std::string>> names;
  for (std::size_t i = 0;; ++i) {
    const Hdf5Attribute* part = object.FindAttribute(name + std::to_string(i));
    const auto texts = part ? part->texts() : std::nullopt;
    if (!texts) return names;
    if (!names) names.emplace();
    names->insert(names->end(), texts->begin(), texts->end());
  }
}

class KerasH5Checkpoint : public Checkpoint {
 public:
  KerasH5Checkpoint(std::unique_ptr<Hdf5File> file, Manifest manifest,
                    std::vector<const Hdf5Object*> datasets)
      : file_(std::move(file)), manifest_(std::move(manifest)), datasets_(std::move(datasets)) {}

  std::string_view format() const noexcept override { return "keras-h5"; }
  const Manifest& manifest() const noexcept override { return manifest_; }
  Result<network::Network> MakeNetwork() const override {
    return keras::NetworkOf(manifest_, manifest_.framework_version);
  }

  Result<std::unique_ptr<TensorStream>> Open(TensorId id) const override {
    auto stream = file_->OpenDataset(*datasets_[id.index]);
    if (stream) return stream;
    Error error = std::move(stream).error();
    error.tensor = manifest_.tensors[id.index].name;
    return Fail(std::move(error));
  }

 private:
  std::unique_ptr<Hdf5File> file_;
  Manifest manifest_;
  std::vector<const Hdf5Object*> datasets_;  // by TensorId; point into file_
};

// Reads the lists of names and gives each dataset its place and its name.
class ManifestBuilder {
 public:
  // `given`: a config for a file that has none; may be null.
  ManifestBuilder(const Hdf5File& file, const keras::GivenConfig* given)
      : file_(file), given_(given) {}

  void Build() {
    FindRoots();
    if (weights_) ReadLayers();
    ReadOptimizer();
    ReadOthers();
    SortTensors();
    LinkSlots();
    Describe();
    AddNote();
  }

  Manifest TakeManifest() { return std::move(manifest_); }
  std::vector<const Hdf5Object*> TakeDatasets() { return std::move(datasets_); }

 private:
  // A file of weights alone has its layer_names at the root; this is how Keras tells.
  void FindRoots() {
    root_ = file_.Find("/");
    weights_ =
        root_ && NamesAttribute(*root_, "layer_names") ? root_ : file_.Find("/model_weights");
    if (weights_ && !NamesAttribute(*weights_, "layer_names")) weights_ = nullptr;
    if (weights_ && weights_ != root_) prefix_ = weights_->path;
  }

  void AddProblem(ErrorCode code, std::string message, std::string tensor = {},
                  std::vector<TensorId> ids = {}) {
    manifest_.problems.push_back(
        {Error{code, std::move(message)}.In(file_.file().path()).Of(std::move(tensor)),
         std::move(ids)});
  }

  void AddNote() {
    if (file_.note().empty()) return;
    manifest_.note += (manifest_.note.empty() ? "" : "; ") + file_.note();
  }

  void ReadLayers() {
    const std::vector<std::string> layers = *NamesAttribute(*weights_, "layer_names");
    for (const std::string& layer : layers) {
      WeightGroup& group = order_.groups.emplace_back();
      group.layer = layer;
      ReadGroup(prefix_ + "/" + layer, group);
    }
    const std::string top_level = prefix_ + "/top_level_model_weights";
    if (file_.Find(top_level)) {
      order_.groups.push_back({Kind::kTopLevel});
      ReadGroup(top_level, order_.groups.back());
    }
  }

  void ReadOptimizer() {
    if (!file_.Find("/optimizer_weights") || !weights_ || weights_ == root_) return;
    order_.groups.push_back({Kind::kOptimizer});
    ReadGroup("/optimizer_weights", order_.groups.back());
  }

  void ReadGroup(const std::string& path, WeightGroup& group) {
    const Hdf5Object* object = file_.Find(path);
    const auto names = object ? NamesAttribute(*object, "weight_names") : std::nullopt;
    if (!names) {
      AddProblem(ErrorCode::kCorrupt, "the group \"" + path +
                                          "\" that holds a layer's weights is absent or has no "
                                          "weight_names");
      return;
    }
    for (const std::string& stored : *names) {
      const std::string dataset_path = path + "/" + stored;
      const Hdf5Object* dataset = file_.Find(dataset_path);
      if (!dataset || dataset->kind != Hdf5Object::Kind::kDataset) {
        AddProblem(ErrorCode::kCorrupt, "weight_names lists a dataset that the file lacks",
                   dataset_path);
        continue;
      }
      group.weights.push_back({AddTensor(*dataset, group, stored), stored});
    }
  }

  void ReadOthers() {
    WeightGroup others{Kind::kOther};
    for (const Hdf5Object& object : file_.objects()) {
      if (object.kind != Hdf5Object::Kind::kDataset || names_.contains(object.path)) continue;
      others.weights.push_back({AddTensor(object, others, object.path), object.path});
    }
    if (!others.weights.empty()) order_.groups.push_back(std::move(others));
  }

  // A name that no other tensor has; a dataset that is listed twice keeps its first.
  std::string AddTensor(const Hdf5Object& dataset, const WeightGroup& group,
                        const std::string& stored) {
    if (const auto known = names_.find(dataset.path); known != names_.end()) return known->second;
    std::string name = NameOf(group, stored);
    if (taken_.contains(name)) name = dataset.path.substr(1);
    const std::string base = name;
    for (int i = 2; !taken_.insert(name).second; ++i) name = base + "_" + std::to_string(i);
    names_.emplace(dataset.path, name);

    TensorInfo info;
    info.name = name;
    info.stored_as = dataset.path.substr(1);
    info.dtype = dataset.dtype.value_or(Dtype::kVoid);
    info.shape = dataset.shape;
    info.byte_size = dataset.byte_size;
    info.section = group.kind == Kind::kOptimizer ? Section::kOptimizer : Section::kModel;
    info.data_file = file_.file().path();
    info.data_present = dataset.unsupported.empty();
    const std::size_t slash = name.rfind('/');
    if (group.kind == Kind::kLayer && slash != std::string::npos) {
      info.owner = name.substr(0, slash);
      info.local_name = name.substr(slash + 1);
    }
    manifest_.tensors.push_back(std::move(info));
    datasets_.push_back(&dataset);
    return name;
  }

  static std::string NameOf(const WeightGroup& group, const std::string& stored) {
    switch (group.kind) {
      case Kind::kLayer:
        return keras::TensorName(group.layer, stored);
      case Kind::kTopLevel:
        return std::string(keras::WithoutOutputNumber(stored));
      case Kind::kOptimizer:
        return "optimizer_weights/" + std::string(keras::WithoutOutputNumber(stored));
      case Kind::kOther:
        return stored.substr(1);
    }
    return stored;
  }

  void SortTensors() {
    std::vector<std::size_t> order(manifest_.tensors.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::sort(order.begin(), order.end(), [this](std::size_t a, std::size_t b) {
      return manifest_.tensors[a].name < manifest_.tensors[b].name;
    });
    std::vector<TensorInfo> tensors;
    std::vector<const Hdf5Object*> datasets;
    for (const std::size_t i : order) {
      ids_.emplace(manifest_.tensors[i].name, TensorId{static_cast<std::uint32_t>(tensors.size())});
      tensors.push_back(std::move(manifest_.tensors[i]));
      datasets.push_back(datasets_[i]);
      if (!datasets_[i]->unsupported.empty()) {
        AddProblem(ErrorCode::kUnsupported, "the dataset " + datasets_[i]->unsupported,
                   tensors.back().name, {ids_.at(tensors.back().name)});
      }
    }
    manifest_.tensors = std::move(tensors);
    datasets_ = std::move(datasets);
  }

  void LinkSlots() {
    keras::SlotFinder finder;
    for (const WeightGroup& group : order_.groups) {
      if (group.kind != Kind::kLayer && group.kind != Kind::kTopLevel) continue;
      for (const auto& weight : group.weights) {
        finder.AddVariable(weight.stored, ids_.at(weight.tensor));
      }
    }
    for (const WeightGroup& group : order_.groups) {
      if (group.kind != Kind::kOptimizer) continue;
      for (const auto& weight : group.weights) {
        const auto slot = finder.Find(weight.stored);
        if (!slot) continue;
        TensorInfo& info = manifest_.tensors[ids_.at(weight.tensor).index];
        info.slot_of = slot->variable;
        info.slot_name = slot->name;
      }
    }
  }

  void Describe() {
    manifest_.resolved = file_.file().path();
    manifest_.files = {manifest_.resolved};
    for (const char* key : {"keras_version", "backend"}) {
      const std::string* text = TextAttribute(root_, key);
      if (!text) text = TextAttribute(weights_, key);
      if (text) manifest_.metadata.emplace(key, *text);
    }
    DescribeFramework();
    for (const char* name : {"model_config", "training_config"}) {
      const std::string* text = TextAttribute(root_, name);
      if (text) manifest_.documents.push_back({name, *text});
    }
    if (weights_) {
      manifest_.documents.push_back(
          {std::string(keras::kWeightOrderDocument), keras::WeightOrderText(order_)});
    }
    if (const std::string* text = TextAttribute(root_, "model_config")) {
      ReadGraph(*text, manifest_.framework_version);
    } else if (given_ && weights_) {
      manifest_.documents.push_back({"model_config", given_->text});
      ReadGraph(given_->text, given_->version);
      if (manifest_.graph) manifest_.graph->source += " of " + given_->path;
      manifest_.framework_version = given_->version;
      manifest_.metadata["keras_version"] = given_->version;
    }
  }

  void DescribeFramework() {
    const bool numbered_layers = root_ && root_->FindAttribute("nb_layers");  // Keras 0.x
    if (!weights_ && !numbered_layers) return;
    const std::string* source = TextAttribute(weights_, keras::kNamesOf);
    if (source) {
      for (const Framework framework : {Framework::kTensorFlow, Framework::kPyTorch}) {
        if (*source == Name(framework)) manifest_.framework = framework;
      }
      return;
    }
    manifest_.framework = Framework::kKeras;
    const auto version = manifest_.metadata.find("keras_version");
    if (version != manifest_.metadata.end()) manifest_.framework_version = version->second;
    const auto backend = manifest_.metadata.find("backend");
    if (backend != manifest_.metadata.end() && backend->second == "theano") {
      manifest_.metadata.emplace("kernel_orientation",
                                 "Theano convolves: the kernels of convolutions are stored flipped "
                                 "along their spatial axes");
    }
  }

  // The config as Keras `version` wrote it.
  void ReadGraph(const std::string& text, const std::string& version) {
    auto config = keras::ParseModelConfig(text, version);
    Status bound;
    if (config) {
      keras::NoteForeignClasses(**config, manifest_.note);
      bound = keras::BindWeights(**config, order_, keras::KerasMajor(manifest_.framework_version),
                                 manifest_.tensors);
    }
    if (config && bound) {
      manifest_.graph = std::move((*config)->graph);
      keras::SayComputations(**config, version, manifest_);
    } else {
      manifest_.metadata["model_config"] =
          "not used: " + (config ? bound.error().message : config.error().message);
    }
  }

  const Hdf5File& file_;
  const keras::GivenConfig* given_;
  const Hdf5Object* root_ = nullptr;
  const Hdf5Object* weights_ = nullptr;  // the group with layer_names
  std::string prefix_;                   // its path, "" for the root
  WeightOrder order_;
  Manifest manifest_;
  std::vector<const Hdf5Object*> datasets_;
  std::unordered_map<std::string_view, std::string> names_;  // by the dataset's path
  std::unordered_set<std::string> taken_;
  std::unordered_map<std::string, TensorId> ids_;
};

Result<std::unique_ptr<Hdf5File>> OpenHdf5(const Files& files, const std::filesystem::path& path,
                                           const Limits& limits) {
  CKPT_ASSIGN_OR_RETURN(std::shared_ptr<const RandomAccessFile> file, files.Open(path));
  return Hdf5File::Open(std::move(file), limits);
}

std::unique_ptr<Checkpoint> Describe(std::unique_ptr<Hdf5File> hdf5,
                                     const keras::GivenConfig* given) {
  ManifestBuilder builder(*hdf5, given);
  builder.Build();
  return std::make_unique<KerasH5Checkpoint>(std::move(hdf5), builder.TakeManifest(),
                                             builder.TakeDatasets());
}

}  // namespace

Match ProbeKerasH5(const ProbeInput& input) {
  if (StartsWithSignature(input.head)) return Match::kCertain;
  // A user block of 512 bytes or a power of two times that may stand before the signature; it can
  // be seen where the tail reaches back to it.
  const std::uint64_t tail_start = input.file_size - input.tail.size();
  for (std::uint64_t offset = 512; offset < input.file_size && offset != 0; offset *= 2) {
    if (offset >= tail_start && StartsWithSignature(input.tail.subspan(offset - tail_start))) {
      return Match::kCertain;
    }
  }
  return Match::kNo;
}

Result<std::unique_ptr<Checkpoint>> OpenKerasH5(const Files& files,
                                                const std::filesystem::path& path,
                                                const Limits& limits) {
  CKPT_ASSIGN_OR_RETURN(std::unique_ptr<Hdf5File> hdf5, OpenHdf5(files, path, limits));
  if (keras::HoldsVariableGroups(*hdf5)) return DescribeKerasWeights(std::move(hdf5));
  return Describe(std::move(hdf5), nullptr);
}

Result<std::unique_ptr<Checkpoint>> OpenKerasH5Of(const Files& files,
                                                  const std::filesystem::path& path,
                                                  const Limits& limits, const Manifest& model) {
  const auto config = keras::ConfigOf(model);
  if (!config) return nullptr;
  CKPT_ASSIGN_OR_RETURN(std::unique_ptr<Hdf5File> hdf5, OpenHdf5(files, path, limits));
  return Describe(std::move(hdf5), &*config);
}

}  // namespace ckpt::formats
