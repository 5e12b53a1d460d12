// The serving graph as a checkpoint: its constants are the tensors, its layers the model graph.
#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "ckpt/serving.h"
#include "ckpt/serving_layers.h"
#include "ckpt/serving_network.h"
#include "serving/apply_plan.h"
#include "serving/bind_layers.h"
#include "serving/layers.h"
#include "serving/op_facts.h"
#include "serving/serving_graph.h"
#include "tensorflow_network/translate_graph.h"

namespace ckpt {
namespace {

// The bytes of a constant that the graph holds itself.
class HeldStream : public TensorStream {
 public:
  explicit HeldStream(std::span<const std::byte> bytes) : bytes_(bytes) {}
  Result<std::span<const std::byte>> Next() override {
    const auto chunk = bytes_;
    bytes_ = {};
    return chunk;
  }

 private:
  std::span<const std::byte> bytes_;
};

// Constants that a layer may hold; the others are sizes, axes and the like.
bool MayBeWeight(const OpConstant& constant) {
  return IsFloat(constant.dtype) && constant.shape.rank() > 0 && constant.strings.empty() &&
         constant.bytes.size() * 8 == constant.shape.element_count() * BitSize(constant.dtype);
}

class Model : public ServingModel {
 public:
  Model(const Checkpoint& source, ServingGraph serving)
      : source_(source),
        notes_(std::move(serving.notes)),
        closed_(std::move(serving.closed)),
        dropped_signatures_(std::move(serving.dropped_signatures)) {
    set_input_name(source.input_name());
    auto graph = std::make_shared<OpGraph>(std::move(serving.graph));
    const Manifest& from = source.manifest();
    manifest_.resolved = from.resolved;
    manifest_.note = from.note;
    manifest_.files = from.files;
    manifest_.framework = Framework::kTensorFlow;
    manifest_.framework_version = from.framework_version;
    TakeTensors(*graph, from);
    manifest_.ops = std::move(graph);
  }

  // To be called once, before anything asks for the layers.
  Status TakeLayers() {
    const OpGraph& graph = *manifest_.ops;
    const std::vector<OpEdge> outputs = OutputsOf(graph);
    CKPT_ASSIGN_OR_RETURN(const PlacedNetwork placed,
                          TranslateWholeGraph(graph, manifest_.tensors, outputs));
    layers_ = PlaceLayers(graph, manifest_.tensors, outputs, placed);
    MakeNamesUnique(layers_.graph);
    manifest_.graph = layers_.graph;
    return {};
  }

  std::string_view format() const noexcept override { return source_.format(); }
  const Manifest& manifest() const noexcept override { return manifest_; }
  Result<std::unique_ptr<TensorStream>> Open(TensorId id) const override {
    const Held& held = held_[id.index];
    if (held.source) return source_.Open(*held.source);
    const OpConstant& constant = *manifest_.ops->top.ops[held.op].constant;
    return std::unique_ptr<TensorStream>(std::make_unique<HeldStream>(constant.bytes));
  }
  Result<network::Network> MakeNetwork() const override { return NetworkOf(0); }
  Result<network::Network> NetworkOf(std::size_t signature) const override {
    return TranslateServingGraph(
        *this, [](TensorId id) { return std::optional(id); }, signature);
  }
  Result<network::Network> NetworkOverSource() const {
    return TranslateServingGraph(*this, [this](TensorId id) { return held_[id.index].source; });
  }
  const std::vector<Changed>& closed() const noexcept override { return closed_; }
  const std::vector<std::string>& notes() const noexcept override { return notes_; }
  const std::vector<Dropped>& dropped_signatures() const noexcept override {
    return dropped_signatures_;
  }
  const std::vector<Dropped>& unused() const noexcept override { return unused_; }
  Result<ModelGraph> LayersOfSource() const {
    return BindLayers(*this, [this](TensorId id) { return held_[id.index].source; });
  }
  Result<OpGraph> Apply(ConversionPlan& plan) const override {
    return ApplyPlan(manifest_, layers_, plan);
  }

 private:
  struct Held {
    OpId op;
    std::optional<TensorId> source;
  };

  void TakeTensors(OpGraph& graph, const Manifest& from) {
    std::map<std::string, Held> by_name;           // sorted, as a manifest is
    std::map<std::uint32_t, std::string> name_of;  // of the source's tensors: read once
    for (OpId id = 0; id < graph.top.ops.size(); ++id) {
      const Op& op = graph.top.ops[id];
      if (op.type != "Const") continue;
      if (op.tensor) {
        if (name_of.emplace(op.tensor->index, op.name).second)
          by_name.emplace(op.name, Held{id, op.tensor});
      } else if (op.constant && MayBeWeight(*op.constant)) {
        by_name.emplace(op.name, Held{id, {}});
      }
    }
    std::map<std::string, TensorId> id_of;
    for (const auto& [name, held] : by_name) {
      const TensorId id{static_cast<std::uint32_t>(manifest_.tensors.size())};
      id_of.emplace(name, id);
      TensorInfo info;
      if (held.source) {
        info = from.tensors[held.source->index];
        for (const Problem& problem : from.problems) KeepProblem(problem, *held.source, id);
      } else {
        const OpConstant& constant = *graph.top.ops[held.op].constant;
        info.dtype = constant.dtype;
        info.shape = constant.shape;
        info.byte_size = constant.bytes.size();
      }
      info.name = info.stored_as = name;
      info.owner = info.local_name = {};
      info.section = Section::kModel;
      info.slot_of.reset();
      info.alias_of.reset();
      manifest_.tensors.push_back(std::move(info));
      held_.push_back(held);
    }
    for (Op& op : graph.top.ops) {
      if (op.type != "Const") continue;
      if (op.tensor) {
        op.tensor = id_of.at(name_of.at(op.tensor->index));
      } else if (const auto id = id_of.find(op.name); id != id_of.end()) {
        op.tensor = id->second;
      }
    }
    for (std::uint32_t i = 0; i < from.tensors.size(); ++i) {
      if (!name_of.contains(i))
        unused_.push_back({from.tensors[i].name, "the serving graph does not read it"});
    }
  }

  void KeepProblem(const Problem& problem, TensorId source, TensorId id) {
    if (std::find(problem.tensors.begin(), problem.tensors.end(), source) == problem.tensors.end())
      return;
    manifest_.problems.push_back({problem.error, {id}});
  }

  static std::vector<OpEdge> OutputsOf(const OpGraph& graph) {
    std::vector<OpEdge> outputs;
    for (const OpSignature& signature : graph.signatures) {
      for (const auto& [key, name] : signature.outputs) {
        const auto parsed = ParseTensorName(name);
        const auto id = parsed ? graph.top.Find(parsed->op) : std::nullopt;
        if (id) outputs.push_back({*id, parsed->output, {}});
      }
    }
    return outputs;
  }

  static void MakeNamesUnique(ModelGraph& graph) {
    std::set<std::string> taken;
    for (Layer& layer : graph.layers) {
      const std::string name = layer.name;
      for (std::size_t i = 1; !taken.insert(layer.name).second; ++i)
        layer.name = name + '_' + std::to_string(i);
    }
  }

  const Checkpoint& source_;
  Manifest manifest_;
  std::vector<Held> held_;  // by tensor
  std::vector<std::string> notes_;
  std::vector<Changed> closed_;
  std::vector<Dropped> dropped_signatures_, unused_;
  LayerGraph layers_;
};

}  // namespace

Result<std::unique_ptr<ServingModel>> MakeServingModel(const Checkpoint& source,
                                                       const ServingOptions& options) {
  CKPT_ASSIGN_OR_RETURN(ServingGraph serving, MakeServingGraph(source.manifest(), options));
  auto model = std::make_unique<Model>(source, std::move(serving));
  CKPT_RETURN_IF_ERROR(model->TakeLayers());
  return std::unique_ptr<ServingModel>(std::move(model));
}

Result<ServedNetwork> NetworkOf(const Checkpoint& source, const ServingOptions& options) {
  CKPT_ASSIGN_OR_RETURN(auto model, MakeServingModel(source, options));
  CKPT_ASSIGN_OR_RETURN(auto network, model->MakeNetwork());
  return ServedNetwork{std::move(model), std::move(network)};
}

Result<network::Network> NetworkOverSource(const Checkpoint& source,
                                           const ServingOptions& options) {
  if (!source.manifest().ops) return source.Checkpoint::MakeNetwork();
  CKPT_ASSIGN_OR_RETURN(ServingGraph serving, MakeServingGraph(source.manifest(), options));
  return Model(source, std::move(serving)).NetworkOverSource();
}

Result<ModelGraph> ServingLayers(const Checkpoint& source, const ServingOptions& options) {
  CKPT_ASSIGN_OR_RETURN(ServingGraph serving, MakeServingGraph(source.manifest(), options));
  Model model(source, std::move(serving));
  CKPT_RETURN_IF_ERROR(model.TakeLayers());
  return model.LayersOfSource();
}

}  // namespace ckpt
