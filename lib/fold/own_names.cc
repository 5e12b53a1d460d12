// Tensors that an exporter stored once, under the names of all modules that have them.
#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "ckpt/bind_graph.h"
#include "ckpt/forwarding_checkpoint.h"
#include "fold/module_names.h"

namespace ckpt {
namespace {

class OwnNames : public RewrittenCheckpoint {
 public:
  // `copies`: new names, and the tensors whose values they have.
  OwnNames(std::unique_ptr<Checkpoint> checkpoint, const std::map<std::string, TensorId>& copies)
      : RewrittenCheckpoint(std::move(checkpoint)) {
    struct Entry {
      TensorInfo info;
      TensorId source;
    };
    std::vector<Entry> entries;
    const std::vector<TensorInfo>& tensors = inner().manifest().tensors;
    for (std::uint32_t i = 0; i < tensors.size(); ++i) entries.push_back({tensors[i], {i}});
    for (const auto& [name, source] : copies) {
      entries.push_back({tensors[source.index], source});
      entries.back().info.name = entries.back().info.stored_as = name;
    }
    std::sort(entries.begin(), entries.end(),
              [](const Entry& a, const Entry& b) { return a.info.name < b.info.name; });
    manifest_.tensors.clear();
    moved_.resize(tensors.size());
    for (Entry& entry : entries) {
      if (entry.info.name == tensors[entry.source.index].name)
        moved_[entry.source.index] = TensorId{static_cast<std::uint32_t>(sources_.size())};
      sources_.push_back(entry.source);
      manifest_.tensors.push_back(std::move(entry.info));
    }
    for (TensorInfo& info : manifest_.tensors) {
      for (auto* id : {&info.alias_of, &info.slot_of})
        if (*id) *id = moved_[(*id)->index];
    }
    for (Problem& problem : manifest_.problems)
      for (TensorId& id : problem.tensors) id = moved_[id.index];
  }

  // Each layer reads the tensors of its own names.
  Status Bind() {
    CKPT_ASSIGN_OR_RETURN(BoundGraph bound, BindGraph(inner(), *this));
    const ModelGraph& own = *inner().manifest().graph;
    bound.graph.of_other_file = own.of_other_file;
    bound.graph.source = own.source;
    manifest_.graph = std::move(bound.graph);
    return {};
  }

  Result<std::unique_ptr<TensorStream>> Open(TensorId id) const override {
    return inner().Open(sources_[id.index]);
  }
  // Each layer has its own now.
  const std::vector<LayerOrigin>& origins() const noexcept override { return none_; }

 protected:
  // The network reads what is stored once under the name that it is stored under.
  std::optional<TensorId> PlaceOf(TensorId id) const override { return moved_[id.index]; }

 private:
  const std::vector<LayerOrigin> none_;
  std::vector<TensorId> sources_;  // by tensor
  std::vector<TensorId> moved_;    // by tensor of the inner one
};

// The names that layers have for tensors of another name.
std::map<std::string, TensorId> CopiesOf(const Manifest& manifest,
                                         const std::vector<LayerOrigin>& origins) {
  const ModelGraph& graph = *manifest.graph;
  std::vector<std::size_t> readers(manifest.tensors.size(), 0);
  for (const Layer& layer : graph.layers)
    for (const auto& [local, id] : layer.tensors) ++readers[id.index];
  std::map<std::string, TensorId> copies;
  for (std::size_t i = 0; i < graph.layers.size(); ++i) {
    for (const auto& [local, id] : graph.layers[i].tensors) {
      const std::string& stored = manifest.tensors[id.index].name;
      const std::string_view leaf = LeafOf(graph.layers[i], local, stored);
      if (leaf.empty()) continue;
      std::string own;
      if (const auto read = origins[i].read_as.find(local); read != origins[i].read_as.end()) {
        own = read->second;
      } else if (!origins[i].module.empty() && origins[i].rewritten.empty() &&
                 readers[id.index] > 1 && !MayBeSecondCall(origins[i].module, stored)) {
        own = origins[i].module + "." + std::string(leaf);
      }
      if (!own.empty() && !FindTensor(manifest, own)) copies.emplace(std::move(own), id);
    }
  }
  return copies;
}

}  // namespace

Result<std::unique_ptr<Checkpoint>> WithOwnNames(std::unique_ptr<Checkpoint> checkpoint) {
  const std::vector<LayerOrigin>& origins = OriginsOf(*checkpoint);
  const auto& graph = checkpoint->manifest().graph;
  if (origins.empty() || !graph || origins.size() != graph->layers.size()) return checkpoint;
  const auto copies = CopiesOf(checkpoint->manifest(), origins);
  if (copies.empty()) return checkpoint;
  auto named = std::make_unique<OwnNames>(std::move(checkpoint), copies);
  CKPT_RETURN_IF_ERROR(named->Bind());
  return named;
}

}  // namespace ckpt
