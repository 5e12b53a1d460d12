#include "formats/torch/torch_checkpoint.h"

#include <algorithm>
#include <numeric>
#include <unordered_map>
#include <utility>

#include "formats/torch/module_objects.h"
#include "formats/torch/numpy_array.h"
#include "formats/torch/optimizer_slots.h"
#include "formats/torch/state_tree.h"

namespace ckpt::formats {
namespace {

constexpr std::size_t kNamedGlobals = 5;  // of those that a note mentions
// What recorded modules may hold: so much, and so many times the bytes of the pickle.
constexpr std::uint64_t kModuleBytes = std::uint64_t{64} << 20;
constexpr std::uint64_t kModuleBytesPerByte = 8;
// The same of all names together.
constexpr std::uint64_t kNameBytes = std::uint64_t{64} << 20;
constexpr std::uint64_t kNameBytesPerByte = 4;
constexpr std::uint64_t kAttributeBytes = 96;  // of an entry of a map, roughly

// A tensor with the bytes it stands for.
struct Placed {
  TensorInfo info;
  TensorView view;
  StorageLocation location;
  std::optional<std::uint32_t> slot_of = {};  // an index into the list that this stands in
};

class TorchCheckpoint : public Checkpoint {
 public:
  TorchCheckpoint(Manifest manifest, StorageFile storages, std::vector<Placed> placed)
      : manifest_(std::move(manifest)), storages_(std::move(storages)) {
    manifest_.tensors.reserve(placed.size());
    places_.reserve(placed.size());
    for (Placed& tensor : placed) {
      manifest_.tensors.push_back(std::move(tensor.info));
      places_.push_back({std::move(tensor.view), tensor.location});
    }
  }

  std::string_view format() const noexcept override { return "torch"; }
  const Manifest& manifest() const noexcept override { return manifest_; }
  Result<std::unique_ptr<TensorStream>> Open(TensorId id) const override {
    const TensorInfo& info = manifest_.tensors[id.index];
    if (!info.data_present) return Fail(WhyAbsent(manifest_, id));
    const Place& place = places_[id.index];
    return OpenStored(storages_, place.location, place.view, info.name);
  }

 private:
  struct Place {
    TensorView view;
    StorageLocation location;
  };
  Manifest manifest_;
  StorageFile storages_;
  std::vector<Place> places_;
};

class Builder {
 public:
  Builder(const PickleGraph& graph, StorageFile storages, const Limits& limits)
      : graph_(graph), storages_(std::move(storages)), limits_(limits) {}

  Status Add(const PickledPart& part) {
    CKPT_ASSIGN_OR_RETURN(StateTree tree,
                          ReadStateTree(graph_, part.root, limits_,
                                        kNameBytes + kNameBytesPerByte * part.pickle_bytes));
    const std::size_t first = placed_.size();
    MarkScriptAttributes(part, tree);
    std::vector<TensorView> views;
    views.reserve(tree.tensors.size());
    for (NamedTensor& tensor : tree.tensors) {
      if (!part.prefix.empty()) {
        tensor.name = part.prefix + "." + tensor.name;
        tensor.stored_as = part.prefix + "." + tensor.stored_as;
        tensor.section = Section::kConstant;  // of TorchScript's code
      }
      auto view = ReadTensorView(graph_, tensor.value);
      if (!view) {
        view.error().tensor = tensor.stored_as;
        return Fail(view);
      }
      CKPT_RETURN_IF_ERROR(Place(tensor, *view, part));
      views.push_back(*std::move(view));
    }
    for (const SlotOf& slot : FindSlots(graph_, tree, views)) {
      Placed& tensor = placed_[first + slot.tensor];
      tensor.info.slot_name = slot.slot_name;
      if (slot.parameter) tensor.slot_of = static_cast<std::uint32_t>(first + *slot.parameter);
    }
    CKPT_RETURN_IF_ERROR(AddModules(tree, part));
    if (part.prefix.empty()) {
      container_ = tree.container;
      metadata_ = std::move(tree.metadata);
      if (!tree.module_versions.empty()) metadata_["_metadata"] = std::move(tree.module_versions);
    }
    return {};
  }

  // Objects of classes that are not known may hold weights in their own way.
  Status CheckSomethingIsRead() const {
    if (!placed_.empty()) return {};
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
    for (std::uint32_t i = 0; i < placed_.size(); ++i) {
      const TensorView& view = placed_[i].view;
      if (!view.remark.empty()) manifest.metadata["dtype of " + placed_[i].info.name] = view.remark;
      if (view.unreadable) manifest.problems.push_back({*view.unreadable, {TensorId{i}}});
    }
    return std::make_unique<TorchCheckpoint>(std::move(manifest), std::move(storages_),
                                             std::move(placed_));
  }

 private:
  Status Place(const NamedTensor& tensor, TensorView& view, const PickledPart& part) {
    Placed placed;
    TensorInfo& info = placed.info;
    info.name = tensor.name;
    info.stored_as = tensor.stored_as;
    info.section = tensor.section;
    info.dtype = view.dtype;
    info.shape = view.shape;
    info.byte_size = view.shape.element_count() * view.element_bytes;
    info.data_file = storages_.file->path();
    // A state dict is detached from its parameters: only "true" says anything.
    if (view.requires_grad) info.trainable = true;
    if (view.in_pickle) {
      auto bytes = HeldBytes(*view.in_pickle, view.storage.bytes);
      if (!bytes) {
        bytes.error().tensor = tensor.stored_as;
        return Fail(bytes);
      }
      placed.location = {0, view.storage.bytes, std::nullopt, *std::move(bytes)};
    } else if (!view.unreadable) {
      auto location = part.locate(view.storage);
      if (location) {
        placed.location = *location;
        info.checksum = ChecksumOf(storages_, *location, view);
      } else {
        view.unreadable = std::move(location).error();
      }
    }
    if (view.unreadable) {
      info.data_present = false;
      view.unreadable->tensor = info.name;
      if (view.unreadable->file.empty()) view.unreadable->file = info.data_file;
    }
    placed.view = view;
    placed_.push_back(std::move(placed));
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
    std::vector<std::uint32_t> order(placed_.size()), rank(placed_.size());
    std::iota(order.begin(), order.end(), 0U);
    std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
      return placed_[a].info.name < placed_[b].info.name;
    });
    std::vector<Placed> sorted;
    sorted.reserve(placed_.size());
    for (std::uint32_t i = 0; i < order.size(); ++i) {
      rank[order[i]] = i;
      sorted.push_back(std::move(placed_[order[i]]));
    }
    // An order that is that of the names was made by a program that sorts.
    if (!std::is_sorted(rank.begin(), rank.end())) {
      for (const std::uint32_t place : rank) stored_order_.push_back(TensorId{place});
    }
    for (Placed& tensor : sorted) {
      if (tensor.slot_of) tensor.info.slot_of = TensorId{rank[*tensor.slot_of]};
    }
    placed_ = std::move(sorted);
  }

  // Tensors that are the same view of the same storage.
  void FindAliases() {
    std::unordered_map<std::string, std::uint32_t> first;
    for (std::uint32_t i = 0; i < placed_.size(); ++i) {
      const TensorView& view = placed_[i].view;
      if (view.unreadable || view.shape.element_count() == 0) continue;
      std::string key = view.in_pickle ? "pickle " + std::to_string(*view.in_pickle)
                                       : std::to_string(placed_[i].location.offset);
      key +=
          "+" + std::to_string(view.offset) + std::string(Name(view.dtype)) + ToString(view.shape);
      for (const std::int64_t stride : view.strides) key += "," + std::to_string(stride);
      const auto [entry, added] = first.emplace(std::move(key), i);
      if (!added) placed_[i].info.alias_of = TensorId{entry->second};
    }
  }

  std::string NoteOnGlobals() const {
    std::vector<std::string> names = UnknownGlobals(graph_);
    std::erase_if(names, [](const std::string& name) { return name.starts_with("__torch__."); });
    if (names.empty()) return {};
    std::string note = "names classes or functions, which are not run: ";
    for (std::size_t i = 0; i < names.size() && i < kNamedGlobals; ++i) {
      note += (i == 0 ? "" : ", ") + names[i].substr(0, 100);
    }
    if (names.size() > kNamedGlobals) {
      note += " and " + std::to_string(names.size() - kNamedGlobals) + " more";
    }
    return note;
  }

  const PickleGraph& graph_;
  StorageFile storages_;
  const Limits& limits_;
  std::vector<Placed> placed_;
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
