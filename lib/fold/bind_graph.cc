#include "ckpt/bind_graph.h"

#include <algorithm>
#include <set>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "ckpt/layer_computation.h"
#include "fold/equal_bytes.h"
#include "fold/inner_names.h"
#include "fold/module_names.h"
#include "fold/reason.h"

namespace ckpt {
namespace {

Error ShapeDiffers(const Manifest& model, const TensorInfo& there, const Manifest& names,
                   const TensorInfo& here) {
  return Error{ErrorCode::kUnfit, "has shape " + ToString(here.shape) + " where the graph of " +
                                      model.resolved + " has " + ToString(there.shape)}
      .In(names.resolved)
      .Of(here.name);
}

// Which tensors of the file it reads is not known: neither a kernel nor the vectors of a batch
// norm.
void BeOfUnknownTensors(Layer& layer) {
  const bool with_tensors = IsLinear(layer) || Computes<network::BatchNormalization>(layer);
  layer.has_kernel = false;
  if (!with_tensors) return;
  layer.computation = network::Unknown{layer.op_type, "which tensors it reads is not known"};
}

class Binder {
 public:
  Binder(const Checkpoint& model, const Checkpoint& names)
      : model_(model.manifest()),
        checkpoint_(names),
        names_(names.manifest()),
        graph_(*model_.graph),
        origins_(graph_.layers.size()),
        readers_(model_.tensors.size(), 0),
        bound_(names_.tensors.size(), false),
        doubtful_(graph_.layers.size(), false) {
    const std::vector<LayerOrigin>& recorded = OriginsOf(model);
    if (recorded.size() == origins_.size()) origins_ = recorded;
    for (std::uint32_t i = 0; i < names_.tensors.size(); ++i)
      by_name_.emplace(names_.tensors[i].name, TensorId{i});
    for (std::uint32_t i = 0; i < names_.tensors.size(); ++i)
      by_name_.emplace(names_.tensors[i].stored_as, TensorId{i});
    if (!AnyIsNamed()) NameByKey();
    if (graph_.origin == GraphOrigin::kKerasConfig) NameByInnerName();
    for (std::size_t i = 0; i < graph_.layers.size(); ++i) {
      for (const auto& [local, id] : graph_.layers[i].tensors) {
        if (!origins_[i].read_as.contains(local)) ++readers_[id.index];
      }
    }
  }

  Result<BoundGraph> Run() {
    for (std::size_t i = 0; i < graph_.layers.size(); ++i) {
      for (const auto& [local, id] : std::exchange(graph_.layers[i].tensors, {}))
        CKPT_RETURN_IF_ERROR(Bind({i, local, id}));
    }
    CKPT_RETURN_IF_ERROR(Settle());
    if (std::none_of(bound_.begin(), bound_.end(), [](bool bound) { return bound; })) {
      return Fail(Error{ErrorCode::kUnfit,
                        "has none of the tensors that the graph of " + model_.resolved + " names"}
                      .In(names_.resolved));
    }
    for (std::size_t i = 0; i < graph_.layers.size(); ++i) {
      Layer& layer = graph_.layers[i];
      if (doubtful_[i]) {
        BeOfUnknownTensors(layer);
        layer.tensors.clear();
      }
      Finish(layer, origins_[i]);
    }
    JoinCalls(graph_);
    graph_.of_other_file = true;
    graph_.source += " of " + model_.resolved;
    return BoundGraph{std::move(graph_), std::move(doubts_)};
  }

 private:
  struct Reading {  // of one tensor, by one layer
    std::size_t layer;
    std::string local;
    TensorId id;
  };

  template <class Each>
  void ForEachRead(Each each) const {
    for (const Layer& layer : graph_.layers) {
      for (const auto& [local, id] : layer.tensors) each(model_.tensors[id.index]);
    }
  }
  bool AnyIsNamed() const {
    bool any = !std::all_of(origins_.begin(), origins_.end(), [](const LayerOrigin& origin) {
      return origin.module.empty() && origin.read_as.empty();
    });
    ForEachRead([&](const TensorInfo& info) { any = any || Find(info.name).has_value(); });
    return any;
  }
  // Two files of one framework may keep a tensor under one key and only one of them know what the
  // model calls it: the weights of a Keras model whose whole file records the names of its layers.
  void NameByKey() {
    ForEachRead([&](const TensorInfo& info) {
      if (const auto here = Find(info.stored_as)) by_name_.emplace(info.name, *here);
    });
  }

  void NameByInnerName() {
    std::vector<const TensorInfo*> read;
    ForEachRead([&](const TensorInfo& info) { read.push_back(&info); });
    for (const auto& [name, id] : FindInnerNames(read, names_, by_name_))
      by_name_.emplace(name, id);
  }

  Status Bind(const Reading& reading) {
    const Layer& layer = graph_.layers[reading.layer];
    const LayerOrigin& origin = origins_[reading.layer];
    const TensorInfo& stored = model_.tensors[reading.id.index];
    if (const auto name = origin.read_as.find(reading.local); name != origin.read_as.end()) {
      if (Find(name->second) || HasModule(SplitAtDot(name->second).first))
        return Take(reading, name->second);
      return Take(reading, stored.name);
    }
    if (const std::string own = OwnName(reading, stored); !own.empty()) {
      if (own == stored.name || !MayBeSecondCall(origin.module, stored.name))
        return Take(reading, own);
      Doubt(reading.layer, stored.name, own);
      return {};
    }
    const bool matters = IsLinear(layer) || IsBatchNorm(layer);
    if (!matters || readers_[reading.id.index] < 2 || !Find(stored.name))
      return Take(reading, stored.name);
    open_.push_back(reading);
    return {};
  }

  // What several layers of the graph read may be the copy of another one's tensor; it is not where
  // the file has no tensor to spare.
  Status Settle() {
    for (const Reading& reading : open_)
      bound_[Find(model_.tensors[reading.id.index].name)->index] = true;
    std::map<std::vector<std::int64_t>, std::string> spare;  // by shape
    for (std::size_t i = 0; i < names_.tensors.size(); ++i) {
      const TensorInfo& info = names_.tensors[i];
      if (!bound_[i] && !info.alias_of && IsFloat(info.dtype) && info.section == Section::kModel)
        spare.emplace(std::vector(info.shape.dims().begin(), info.shape.dims().end()), info.name);
    }
    for (const Reading& reading : open_) {
      const TensorInfo& stored = model_.tensors[reading.id.index];
      const auto other =
          spare.find(std::vector(stored.shape.dims().begin(), stored.shape.dims().end()));
      if (other == spare.end()) {
        CKPT_RETURN_IF_ERROR(Take(reading, stored.name));
      } else {
        Doubt(reading.layer, stored.name, other->second);
      }
    }
    return {};
  }

  std::optional<TensorId> Find(std::string_view name) const {
    const auto found = by_name_.find(name);
    return found == by_name_.end() ? std::nullopt : std::optional(found->second);
  }

  // The name of the layer's own tensor in the file, by the module that the graph records; empty
  // where there is none.
  std::string OwnName(const Reading& reading, const TensorInfo& stored) const {
    const LayerOrigin& origin = origins_[reading.layer];
    if (origin.module.empty() || !origin.rewritten.empty()) return {};
    const std::string_view leaf = LeafOf(graph_.layers[reading.layer], reading.local, stored.name);
    if (leaf.empty()) return {};
    std::string own = origin.module + "." + std::string(leaf);
    const auto here = Find(own);
    return here && names_.tensors[here->index].shape == stored.shape ? own : std::string();
  }

  bool HasModule(std::string_view module) const {
    const std::string prefix = std::string(module) + ".";
    const auto found = std::lower_bound(
        names_.tensors.begin(), names_.tensors.end(), prefix,
        [](const TensorInfo& info, const std::string& key) { return info.name < key; });
    return !module.empty() && found != names_.tensors.end() && found->name.starts_with(prefix);
  }

  // Binds to the tensor of the file that is called `name`.
  Status Take(const Reading& reading, const std::string& name) {
    Layer& layer = graph_.layers[reading.layer];
    const TensorInfo& stored = model_.tensors[reading.id.index];
    const auto here = Find(name);
    if (!here) {
      layer.missing_tensors.push_back(reading.local);
      return {};
    }
    if (names_.tensors[here->index].shape != stored.shape) {
      return Fail(ShapeDiffers(model_, stored, names_, names_.tensors[here->index]));
    }
    CKPT_ASSIGN_OR_RETURN(const TensorId id, SharedOr(reading, stored.name, *here));
    layer.tensors.emplace(reading.local, id);
    bound_[here->index] = true;
    return {};
  }

  // The graph has one kernel for this layer and another one: the file's are one, too, if they are
  // equal to this day; if not, they were equal when the graph was exported.
  Result<TensorId> SharedOr(const Reading& reading, const std::string& stored, TensorId own) const {
    const auto other = Find(stored);
    if (reading.local != "kernel" || !other || *other == own) return own;
    CKPT_ASSIGN_OR_RETURN(const bool equal, HoldEqualBytes(checkpoint_, own, *other));
    return equal ? *other : own;
  }

  // Nothing is bound where it is not known which tensors the layer reads.
  void Doubt(std::size_t id, const std::string& stored, const std::string& other) {
    if (doubtful_[id]) return;
    doubtful_[id] = true;
    const std::string why = "one that the graph has in common with other layers (" +
                            Quoted(stored) + "), where the file has " + Quoted(other) + ", too";
    graph_.layers[id].fed_tensors["kernel"] = why;
    doubts_.push_back(Quoted(graph_.layers[id].name) +
                      " of the graph is passed over: which of the file's tensors it reads is not "
                      "known (its tensor is " +
                      why + "); a graph exported after training tells them apart");
  }

  void Finish(Layer& layer, const LayerOrigin& origin) {
    if (!origin.rewritten.empty() && IsLinear(layer)) {
      BeOfUnknownTensors(layer);
      layer.fed_tensors["kernel"] = "another one than the file's: " + origin.rewritten;
    }
    TakeUnreadBias(layer, origin.module);
    // Whatever reads the file by its names knows nothing of other ones.
    layer.can_rebind = false;
    layer.axes_behind_channels.reset();
  }

  // An exporter leaves out a bias of zeros; the module of the file has one all the same.
  void TakeUnreadBias(Layer& layer, const std::string& of_module) {
    const auto kernel = layer.tensors.find("kernel");
    if (!IsLinear(layer) || kernel == layer.tensors.end() || layer.tensors.contains("bias") ||
        !layer.missing_tensors.empty()) {
      return;
    }
    const auto [module, leaf] = SplitAtDot(names_.tensors[kernel->second.index].name);
    if (leaf != "weight" || (!of_module.empty() && of_module != module)) return;
    const auto bias = Find(std::string(module) + ".bias");
    if (!bias) return;
    const auto owner = left_out_.emplace(*bias, kernel->second).first->second;
    if (bound_[bias->index] || owner != kernel->second) return;
    layer.tensors.emplace("bias", *bias);
  }

  const Manifest& model_;
  const Checkpoint& checkpoint_;
  const Manifest& names_;
  ModelGraph graph_;
  std::vector<LayerOrigin> origins_;  // by layer
  std::vector<std::string> doubts_ = {};
  std::vector<std::size_t> readers_;  // by tensor of the graph: layers that read it as its own name
  std::vector<bool> bound_;           // by tensor of the file
  std::vector<bool> doubtful_;        // by layer
  std::vector<Reading> open_ = {};
  std::map<TensorId, TensorId> left_out_ =
      {};  // biases that no layer of the graph reads: the kernel
  std::unordered_map<std::string_view, TensorId> by_name_ = {};  // of the file
};

}  // namespace

Result<BoundGraph> BindGraph(const Checkpoint& model, const Checkpoint& names) {
  if (!model.manifest().graph) {
    return Fail(Error{ErrorCode::kUnfit, "has no graph of a model"}.In(model.manifest().resolved));
  }
  return Binder(model, names).Run();
}

Result<std::shared_ptr<const OpGraph>> BindOps(const Manifest& model, const Manifest& names) {
  const auto holds_tensor = [](const Op& op) { return op.tensor.has_value(); };
  const std::vector<Op>& ops = model.ops->top.ops;
  bool any = std::any_of(ops.begin(), ops.end(), holds_tensor);
  for (const auto& [name, function] : model.ops->functions) {
    any = any || std::any_of(function.body.ops.begin(), function.body.ops.end(), holds_tensor);
  }
  if (!any) return model.ops;
  auto bound = std::make_shared<OpGraph>(*model.ops);
  const auto bind = [&](OpBody& body) -> Status {
    for (Op& op : body.ops) {
      if (!op.tensor) continue;
      const TensorInfo& there = model.tensors[op.tensor->index];
      op.tensor = FindTensor(names, there.name);
      if (!op.tensor || names.tensors[op.tensor->index].shape == there.shape) continue;
      return Fail(ShapeDiffers(model, there, names, names.tensors[op.tensor->index]));
    }
    return {};
  };
  CKPT_RETURN_IF_ERROR(bind(bound->top));
  for (auto& [name, function] : bound->functions) CKPT_RETURN_IF_ERROR(bind(function.body));
  return std::shared_ptr<const OpGraph>(std::move(bound));
}

}  // namespace ckpt
