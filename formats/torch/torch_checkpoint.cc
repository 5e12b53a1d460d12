#include "formats/torch/torch_checkpoint.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "formats/encoding/few_of.h"
#include "formats/encoding/json_events.h"
#include "formats/torch/average_lists.h"
#include "formats/torch/module_objects.h"
#include "formats/torch/numpy_array.h"
#include "formats/torch/optimizer_slots.h"
#include "formats/torch/partial_checkpoint.h"
#include "formats/torch/state_tree.h"
#include "formats/torch/strided_stream.h"

namespace ckpt::formats {
namespace {

constexpr std::size_t kNamedGlobals = 5;  // of those that a note mentions
// What recorded modules may hold: so much, and so many times the bytes of the pickle.
constexpr std::uint64_t kModuleBytes = std::uint64_t{64} << 20;
constexpr std::uint64_t kModuleBytesPerByte = 8;
// The same of all names together.
constexpr std::uint64_t kNameBytes = std::uint64_t{64} << 20;
constexpr std::uint64_t kNameBytesPerByte = 4;
constexpr std::uint32_t kNoSlot = std::numeric_limits<std::uint32_t>::max();
constexpr std::uint64_t kAttributeBytes = 96;  // of an entry of a map, roughly

// As the `_metadata` of a state dict: a pickled module keeps its class and no version, and its
// state dict would have 1 for these classes (torch.nn.Module._version, which they do not change).
std::string VersionsOfNorms(const std::vector<RecordedModule>& modules) {
  std::string json;
  for (const RecordedModule& module : modules) {
    if (!module.class_name.starts_with("torch.nn.modules.normalization.")) continue;
    const auto quoted = QuoteJson(module.scope);
    if (quoted) json += (json.empty() ? "{" : ", ") + *quoted + ": {\"version\": 1}";
  }
  return json.empty() ? json : json + "}";
}

// Where the bytes of a tensor are: what its TensorInfo does not say of its view.
struct StoredPlace {
  StorageLocation location = {};
  std::vector<std::int64_t> strides = {};  // empty: C order
  std::uint64_t offset = 0;                // in elements
  unsigned swap_bytes = 0;
  bool big_endian = false;
};

std::vector<std::int64_t> StridesOf(const Shape& shape) {
  std::vector<std::int64_t> strides(shape.rank(), 1);
  for (std::size_t i = shape.rank(); i-- > 1;) strides[i - 1] = strides[i] * shape[i];
  return strides;
}

class TorchCheckpoint : public Checkpoint {
 public:
  TorchCheckpoint(Manifest manifest, StorageFile storages, std::vector<StoredPlace> places)
      : manifest_(std::move(manifest)),
        storages_(std::move(storages)),
        places_(std::move(places)) {}

  std::string_view format() const noexcept override { return "torch"; }
  const Manifest& manifest() const noexcept override { return manifest_; }
  Result<std::unique_ptr<TensorStream>> Open(TensorId id) const override {
    const TensorInfo& info = manifest_.tensors[id.index];
    if (!info.data_present) return Fail(WhyAbsent(manifest_, id));
    const StoredPlace& place = places_[id.index];
    TensorView view;
    view.dtype = info.dtype;
    view.shape = info.shape;
    view.strides = place.strides.empty() ? StridesOf(info.shape) : place.strides;
    view.offset = place.offset;
    view.swap_bytes = place.swap_bytes;
    view.big_endian = place.big_endian;
    const std::uint64_t elements = info.shape.element_count();
    if (elements > 0) view.element_bytes = static_cast<unsigned>(info.byte_size / elements);
    return OpenStored(storages_, place.location, view, info.name);
  }

 private:
  Manifest manifest_;
  StorageFile storages_;
  std::vector<StoredPlace> places_;
};

class Builder {
 public:
  Builder(const PickleGraph& graph, StorageFile storages, const Limits& limits)
      : graph_(graph), storages_(std::move(storages)), limits_(limits) {}

  Status Add(const PickledPart& part) {
    CKPT_ASSIGN_OR_RETURN(StateTree tree,
                          ReadStateTree(graph_, part.root, limits_,
                                        kNameBytes + kNameBytesPerByte * part.pickle_bytes));
    const std::size_t first = infos_.size();
    MarkScriptAttributes(part, tree);
    std::vector<TensorView> views;
    views.reserve(tree.tensors.size());
    for (const NamedTensor& tensor : tree.tensors) {
      auto view = ReadTensorView(graph_, tensor.value);
      if (!view) {
        view.error().tensor = tensor.stored_as;
        return Fail(view);
      }
      views.push_back(*std::move(view));
    }
    const std::vector<SlotOf> slots = FindSlots(graph_, tree, views);
    if (auto partial = WhyPartial(tree, views)) return Fail(*std::move(partial));
    for (auto& [tensor, name] : NamesOfListedAverages(tree, views)) {
      tree.tensors[tensor].name = std::move(name);
    }
    infos_.reserve(first + views.size());
    places_.reserve(first + views.size());
    for (std::size_t i = 0; i < views.size(); ++i) {
      CKPT_RETURN_IF_ERROR(Place(std::move(tree.tensors[i]), views[i], part));
    }
    slot_of_.resize(infos_.size(), kNoSlot);
    for (const SlotOf& slot : slots) {
      infos_[first + slot.tensor].slot_name = slot.slot_name;
      if (slot.parameter) {
        slot_of_[first + slot.tensor] = static_cast<std::uint32_t>(first + *slot.parameter);
      }
    }
    CKPT_RETURN_IF_ERROR(AddModules(tree, part));
    if (part.prefix.empty()) {
      container_ = tree.container;
      metadata_.merge(tree.metadata);
      if (tree.module_versions.empty()) tree.module_versions = VersionsOfNorms(modules_);
      if (!tree.module_versions.empty()) metadata_["_metadata"] = std::move(tree.module_versions);
    }
    return {};
  }

  // Objects of classes that are not known may hold weights in their own way.
  Status CheckSomethingIsRead() const {
    if (!infos_.empty()) return {};
    const std::vector<std::string> unknown = UnknownGlobals(graph_);
    if (unknown.empty()) return {};
    return Fail(ErrorCode::kUnsupported,
                "holds no tensors, only objects of classes that are not "
                "in the file: " +
                    unknown.front().substr(0, 100));
  }

  std::unique_ptr<Checkpoint> Finish(FileRemarks remarks) {
    std::vector<std::string> notes = std::move(remarks.notes);
    SortByName();
    FindAliases();
    if (!container_.empty())
      notes.push_back("the model is what stands under \"" + container_ + "\"");
    if (std::string note = NoteOnGlobals(); !note.empty()) notes.push_back(std::move(note));
    Manifest manifest;
    manifest.resolved = storages_.file->path();
    for (const std::string& note : notes)
      manifest.note += (manifest.note.empty() ? "" : "; ") + note;
    manifest.files = {manifest.resolved};
    manifest.framework = Framework::kPyTorch;
    manifest.metadata = std::move(metadata_);
    manifest.modules = std::move(modules_);
    manifest.runs_on_load = std::move(remarks.runs_on_load);
    manifest.stored_order = std::move(stored_order_);
    for (std::uint32_t i = 0; i < infos_.size() && !unreadable_.empty(); ++i) {
      const auto error = unreadable_.find(infos_[i].name);
      if (error != unreadable_.end()) manifest.problems.push_back({error->second, {TensorId{i}}});
    }
    manifest.tensors = std::move(infos_);
    return std::make_unique<TorchCheckpoint>(std::move(manifest), std::move(storages_),
                                             std::move(places_));
  }

 private:
  Status Place(NamedTensor tensor, TensorView& view, const PickledPart& part) {
    TensorInfo info;
    if (part.prefix.empty()) {
      info.name = std::move(tensor.name);
      info.stored_as = std::move(tensor.stored_as);
      info.section = tensor.section;
    } else {
      info.name = part.prefix + "." + tensor.name;
      info.stored_as = part.prefix + "." + tensor.stored_as;
      info.section = Section::kConstant;  // of TorchScript's code
    }
    info.dtype = view.dtype;
    info.shape = view.shape;
    info.byte_size = view.shape.element_count() * view.element_bytes;
    info.data_file = storages_.file->path();
    // A state dict is detached from its parameters: only "true" says anything.
    if (view.requires_grad) info.trainable = true;
    StoredPlace place{
        .offset = view.offset, .swap_bytes = view.swap_bytes, .big_endian = view.big_endian};
    const bool strided = view.strides.size() == view.shape.rank();
    if (strided && !IsContiguous(view.shape, view.strides)) place.strides = view.strides;
    CKPT_RETURN_IF_ERROR(Locate(view, part, info, place));
    if (!view.remark.empty()) metadata_["dtype of " + info.name] = view.remark;
    if (view.unreadable) {
      info.data_present = false;
      view.unreadable->tensor = info.name;
      if (view.unreadable->file.empty()) view.unreadable->file = info.data_file;
      unreadable_.emplace(info.name, *std::move(view.unreadable));
    }
    infos_.push_back(std::move(info));
    places_.push_back(std::move(place));
    return {};
  }

  Status Locate(TensorView& view, const PickledPart& part, TensorInfo& info, StoredPlace& place) {
    if (view.in_pickle) {
      auto bytes = HeldBytes(*view.in_pickle, view.storage.bytes);
      if (!bytes) {
        bytes.error().tensor = info.stored_as;
        return Fail(bytes);
      }
      // Told apart from others by the number of the value.
      place.location = {*view.in_pickle, view.storage.bytes, std::nullopt, *std::move(bytes)};
      return {};
    }
    if (view.unreadable) return {};
    auto location = part.locate(view.storage);
    if (location) {
      place.location = *location;
      info.checksum = ChecksumOf(storages_, *location, view);
    } else {
      view.unreadable = std::move(location).error();
    }
    return {};
  }

  // One copy, however many names the array has.
  Result<std::shared_ptr<const std::string>> HeldBytes(PickleId id, std::uint64_t size) {
    const auto known = held_.find(id);
    if (known != held_.end() && known->second->size() == size) return known->second;
    CKPT_ASSIGN_OR_RETURN(std::string bytes, NumpyBytes(graph_, id, size));
    return held_[id] = std::make_shared<const std::string>(std::move(bytes));
  }

  // Modules share objects and classes, so that their number bounds nothing: what they hold together
  // is.
  Status AddModules(const StateTree& tree, const PickledPart& part) {
    std::uint64_t bytes = 0;
    for (const NamedModule& module : tree.modules) {
      RecordedModule record;
      if (module.object) {
        record = RecordModule(graph_, *module.object);
        AddSource(part, ScriptClassOf(graph_, *module.object), record);
      } else {
        record.version = module.version;
      }
      record.scope = part.prefix.empty() ? module.scope : part.prefix + "." + module.scope;
      bytes += BytesOf(record);
      if (bytes > kModuleBytes + kModuleBytesPerByte * part.pickle_bytes) {
        return Fail(ErrorCode::kLimitExceeded,
                    "the attributes of the pickled modules are far more than the pickle");
      }
      modules_.push_back(std::move(record));
    }
    return {};
  }

  // Tensors of a compiled class that are neither parameters nor buffers are attributes.
  void MarkScriptAttributes(const PickledPart& part, StateTree& tree) const {
    if (!part.script_class) return;
    std::unordered_map<std::string_view, const ScriptClass*> classes;
    for (const NamedModule& module : tree.modules) {
      if (!module.object) continue;
      const std::string_view compiled = ScriptClassOf(graph_, *module.object);
      if (!compiled.empty()) classes.emplace(module.scope, part.script_class(compiled));
    }
    for (NamedTensor& tensor : tree.tensors) {
      const std::string_view name = tensor.name;
      const std::size_t dot = name.rfind('.');
      const bool root = dot == std::string_view::npos;
      const auto found = classes.find(root ? std::string_view() : name.substr(0, dot));
      if (found == classes.end() || found->second == nullptr) continue;
      const std::string_view last = root ? name : name.substr(dot + 1);
      const ScriptClass& source = *found->second;
      const bool state = source.parameters.contains(last) || source.buffers.contains(last);
      if (!state && tensor.section == Section::kModel) tensor.section = Section::kTransient;
    }
  }

  // What the code says: constants of the class and the operators that its methods call.
  static void AddSource(const PickledPart& part, std::string_view compiled,
                        RecordedModule& record) {
    if (compiled.empty() || !part.script_class) return;
    const ScriptClass* const source = part.script_class(compiled);
    if (source == nullptr) return;
    record.attributes.insert(source->constants.begin(), source->constants.end());
    record.calls = source->calls;
  }

  static std::uint64_t BytesOf(const RecordedModule& record) {
    std::uint64_t bytes = sizeof(RecordedModule) + record.scope.size() + record.class_name.size();
    for (const auto& [name, value] : record.attributes) {
      const auto* text = std::get_if<std::string>(&value);
      bytes += kAttributeBytes + name.size() + (text == nullptr ? 0 : text->size());
    }
    for (const RecordedCall& call : record.calls) {
      bytes += kAttributeBytes * (1 + call.arguments.size());
    }
    return bytes;
  }

  void SortByName() {
    std::vector<std::uint32_t> order(infos_.size()), rank(infos_.size());
    std::iota(order.begin(), order.end(), 0U);
    std::sort(order.begin(), order.end(),
              [&](std::uint32_t a, std::uint32_t b) { return infos_[a].name < infos_[b].name; });
    for (std::uint32_t i = 0; i < order.size(); ++i) rank[order[i]] = i;
    // An order that is that of the names was made by a program that sorts.
    if (!std::is_sorted(rank.begin(), rank.end())) {
      stored_order_.reserve(rank.size());
      for (const std::uint32_t place : rank) stored_order_.push_back(TensorId{place});
    }
    for (std::uint32_t i = 0; i < infos_.size(); ++i) {
      if (slot_of_[i] != kNoSlot) infos_[i].slot_of = TensorId{rank[slot_of_[i]]};
    }
    // In place: there may be a million of them.
    for (std::uint32_t i = 0; i < rank.size(); ++i) {
      while (rank[i] != i) {
        const std::uint32_t to = rank[i];
        std::swap(infos_[i], infos_[to]);
        std::swap(places_[i], places_[to]);
        std::swap(rank[i], rank[to]);
      }
    }
  }

  // Tensors that are the same view of the same storage.
  void FindAliases() {
    const auto hash = [this](std::uint32_t i) { return HashOfView(infos_[i], places_[i]); };
    const auto same = [this](std::uint32_t a, std::uint32_t b) {
      const StoredPlace &x = places_[a], &y = places_[b];
      return x.location.offset == y.location.offset && x.offset == y.offset &&
             (x.location.held == nullptr) == (y.location.held == nullptr) &&
             infos_[a].dtype == infos_[b].dtype && infos_[a].shape == infos_[b].shape &&
             x.strides == y.strides;
    };
    std::unordered_set<std::uint32_t, decltype(hash), decltype(same)> first(infos_.size(), hash,
                                                                            same);
    for (std::uint32_t i = 0; i < infos_.size(); ++i) {
      if (!infos_[i].data_present || infos_[i].shape.element_count() == 0) continue;
      const auto [entry, added] = first.insert(i);
      if (!added) infos_[i].alias_of = TensorId{*entry};
    }
  }

  static std::size_t HashOfView(const TensorInfo& info, const StoredPlace& place) {
    std::size_t hash = static_cast<std::size_t>(info.dtype);
    const auto mix = [&](std::uint64_t value) {
      hash = (hash ^ std::hash<std::uint64_t>()(value)) * std::size_t{0x9E3779B97F4A7C15U};
      hash ^= hash >> 29;
    };
    mix(place.location.offset);
    mix(place.offset);
    for (const std::int64_t dim : info.shape.dims()) mix(static_cast<std::uint64_t>(dim));
    for (const std::int64_t stride : place.strides) mix(static_cast<std::uint64_t>(stride));
    return hash;
  }

  std::string NoteOnGlobals() const {
    std::vector<std::string> names = UnknownGlobals(graph_);
    std::erase_if(names, [](const std::string& name) { return name.starts_with("__torch__."); });
    if (names.empty()) return {};
    for (std::string& name : names) name.resize(std::min<std::size_t>(name.size(), 100));
    return "names classes or functions, which are not run: " + FewOf(names, kNamedGlobals);
  }

  const PickleGraph& graph_;
  StorageFile storages_;
  const Limits& limits_;
  // Of each tensor. A slot's parameter is the number of another one.
  std::vector<TensorInfo> infos_;
  std::vector<StoredPlace> places_;
  std::vector<std::uint32_t> slot_of_;
  std::map<std::string, Error> unreadable_;  // by name
  std::unordered_map<PickleId, std::shared_ptr<const std::string>> held_;
  std::string container_;
  std::map<std::string, std::string> metadata_;
  std::vector<RecordedModule> modules_;
  std::vector<TensorId> stored_order_;
};

}  // namespace

Result<std::unique_ptr<Checkpoint>> MakeTorchCheckpoint(const PickleGraph& graph,
                                                        const std::vector<PickledPart>& parts,
                                                        StorageFile storages, FileRemarks remarks,
                                                        const Limits& limits) {
  const std::string path = storages.file->path();
  Builder builder(graph, std::move(storages), limits);
  for (const PickledPart& part : parts) {
    if (Status added = builder.Add(part); !added) {
      if (added.error().file.empty()) added.error().file = path;
      return Fail(added);
    }
  }
  if (Status read = builder.CheckSomethingIsRead(); !read) {
    read.error().file = path;
    return Fail(read);
  }
  return builder.Finish(std::move(remarks));
}

}  // namespace ckpt::formats
