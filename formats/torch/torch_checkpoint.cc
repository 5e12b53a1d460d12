#include "formats/torch/torch_checkpoint.h"

#include <algorithm>
#include <numeric>
#include <unordered_map>
#include <utility>

#include "formats/torch/average_lists.h"
#include "formats/torch/optimizer_slots.h"
#include "formats/torch/partial_checkpoint.h"
#include "formats/torch/state_tree.h"

namespace ckpt::formats {
namespace {

constexpr std::size_t kNamedGlobals = 5;  // of those that a note mentions

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
    CKPT_ASSIGN_OR_RETURN(StateTree tree, ReadStateTree(graph_, part.root, limits_));
    const std::size_t first = placed_.size();
    std::vector<TensorView> views;
    views.reserve(tree.tensors.size());
    for (NamedTensor& tensor : tree.tensors) {
      if (!part.prefix.empty()) {
        tensor.name = part.prefix + "." + tensor.name;
        tensor.stored_as = part.prefix + "." + tensor.stored_as;
      }
      auto view = ReadTensorView(graph_, tensor.value);
      if (!view) {
        view.error().tensor = tensor.stored_as;
        return Fail(view);
      }
      CKPT_RETURN_IF_ERROR(Place(tensor, *view, part));
      views.push_back(*std::move(view));
    }
    if (auto partial = WhyPartial(tree, views)) return Fail(*std::move(partial));
    for (auto& [tensor, name] : NamesOfListedAverages(tree, views)) {
      placed_[first + tensor].info.name = std::move(name);
    }
    for (const SlotOf& slot : FindSlots(graph_, tree, views)) {
      Placed& tensor = placed_[first + slot.tensor];
      tensor.info.slot_name = slot.slot_name;
      if (slot.parameter) tensor.slot_of = static_cast<std::uint32_t>(first + *slot.parameter);
    }
    if (part.prefix.empty()) {
      container_ = tree.container;
      metadata_ = std::move(tree.metadata);
      if (!tree.module_versions.empty()) metadata_["_metadata"] = std::move(tree.module_versions);
    }
    return {};
  }

  std::unique_ptr<Checkpoint> Finish(std::vector<std::string> notes) {
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
    if (!view.unreadable) {
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
      std::string key = std::to_string(placed_[i].location.offset) + "+" +
                        std::to_string(view.offset) + std::string(Name(view.dtype)) +
                        ToString(view.shape);
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
  std::string container_;
  std::map<std::string, std::string> metadata_;
};

}  // namespace

Result<std::unique_ptr<Checkpoint>> MakeTorchCheckpoint(const PickleGraph& graph,
                                                        const std::vector<PickledPart>& parts,
                                                        StorageFile storages,
                                                        std::vector<std::string> notes,
                                                        const Limits& limits) {
  const std::string path = storages.file->path();
  Builder builder(graph, std::move(storages), limits);
  for (const PickledPart& part : parts) {
    if (Status added = builder.Add(part); !added) {
      if (added.error().file.empty()) added.error().file = path;
      return Fail(added);
    }
  }
  return builder.Finish(std::move(notes));
}

}  // namespace ckpt::formats
