#include "ckpt/find_layers.h"

#include <algorithm>
#include <map>
#include <utility>

#include "ckpt/layer_computation.h"
#include "layers/batch_norm_operation.h"
#include "layers/layer_calls.h"
#include "layers/linear_operation.h"
#include "layers/operation_description.h"
#include "layers/settled_operation.h"
#include "layers/unfused_batch_norm.h"

namespace ckpt {
namespace {

using network::kNoValue;
using network::Network;
using network::Operation;
using network::OperationId;

class Finder {
 public:
  Finder(const Network& network, const LayerFacts& facts)
      : network_(network),
        facts_(facts),
        uses_(network),
        elements_([this](network::ValueId id) { return ElementsOf(id); }),
        operations_(network.layers.size()),
        absorbed_(network.layers.size(), false),
        unfused_(network.layers.size()) {
    for (std::uint32_t i = 0; i < network.operations.size(); ++i) {
      operations_[network.operations[i].layer].push_back({i});
    }
  }

  FoundLayers Find() {
    AddLayers();
    TakeGivenBatchNorms();
    FindLayersWithTensors();
    if (!facts_.batch_norms) {
      FindUnfusedBatchNorms();
      if (facts_.can_rebind) FindScales();
    }
    for (std::uint32_t i = 0; i < network_.layers.size(); ++i) {
      if (!found_.contains(i) && !unfused_[i] && !given_.contains(i)) Describe(i);
    }
    AddCalls(uses_, operations_, absorbed_, WholeCalls(), graph_);
    FoundLayers layers{{}, Places()};
    layers.graph = std::move(graph_);
    return layers;
  }

 private:
  void AddLayers() {
    // With room for one that the format may add: growing would copy them all.
    graph_.layers.reserve(network_.layers.size() + network_.inputs.size() + 1);
    for (const network::LayerName& name : network_.layers) {
      graph_.layers.push_back({name.name, name.op_type});
    }
    for (const network::Port& input : network_.inputs) {
      graph_.layers.push_back({input.name, "input"});
      graph_.layers.back().is_input = true;
    }
  }

  std::optional<std::vector<double>> ElementsOf(network::ValueId id) const {
    if (id == kNoValue) return std::nullopt;
    const auto& constant = network_.value(id).constant;
    const auto* here = constant ? std::get_if<network::InlineConstant>(&*constant) : nullptr;
    if (here != nullptr) return here->elements;
    return facts_.elements ? facts_.elements(id) : std::nullopt;
  }

  void TakeGivenBatchNorms() {
    if (!facts_.batch_norms) return;
    for (const FoundBatchNorm& norm : *facts_.batch_norms) {
      for (const std::uint32_t layer : norm.path) absorbed_[layer] = true;
      const std::uint32_t index = norm.path.back();
      absorbed_[index] = false;
      graph_.layers[index] = norm.layer;
      given_.emplace(index, &norm);
    }
  }

  // The layer's own operations, and the one of them that the others serve.
  void FindLayersWithTensors() {
    for (std::uint32_t i = 0; i < network_.layers.size(); ++i) {
      if (absorbed_[i] || given_.contains(i)) continue;
      for (const OperationId id : operations_[i]) {
        auto found = FindLayer(id);
        if (!found) continue;
        Bind(i, *std::move(found));
        break;
      }
    }
  }

  std::optional<LayerOfOperations> FindLayer(OperationId id) const {
    auto linear = FindLinearOperation(uses_, elements_, facts_.copies_ways, id);
    if (linear && CoversLayers(*linear)) return linear;
    if (facts_.batch_norms) return std::nullopt;
    // Where a record names what each operation reads, the scale stays an operation of its own.
    for (const bool and_scale : {!facts_.can_rebind, false}) {
      auto norm = FindBatchNormOperation(uses_, id, and_scale);
      if (norm && CoversLayers(*norm)) return norm;
    }
    return std::nullopt;
  }

  // Those of its operations do nothing else.
  bool CoversLayers(const LayerOfOperations& found) const {
    return std::all_of(found.operations.begin(), found.operations.end(), [&](OperationId id) {
      return CoversLayer(network_.operation(id).layer, found);
    });
  }
  bool CoversLayer(std::uint32_t layer, const LayerOfOperations& found) const {
    if (absorbed_[layer] || given_.contains(layer)) return false;
    return std::all_of(operations_[layer].begin(), operations_[layer].end(), [&](OperationId id) {
      return std::find(found.operations.begin(), found.operations.end(), id) !=
                 found.operations.end() ||
             ReadsNoData(network_.operation(id));
    });
  }
  bool ReadsNoData(const Operation& operation) const {
    return std::all_of(operation.operands.begin(), operation.operands.end(),
                       [this](network::ValueId operand) { return uses_.IsFixed(operand); });
  }

  void Bind(std::uint32_t index, LayerOfOperations found) {
    Layer& layer = graph_.layers[index];
    found.layer.name = std::move(layer.name);
    found.layer.op_type = std::move(layer.op_type);
    layer = std::move(found.layer);
    const bool norm = IsBatchNorm(layer);
    if (!norm && !layer.has_kernel) return;  // what computes its kernel is known
    layer.can_rebind = facts_.can_rebind;
    layer.can_gain_bias = facts_.can_gain_bias && !norm && !found.tensors.contains("bias");
    for (const auto& [part, tensor] : found.tensors) BindTensor(index, part, tensor);
    if (!layer.fed_tensors.empty()) return;
    for (const OperationId id : found.operations) {
      const std::uint32_t other = network_.operation(id).layer;
      if (other == index) continue;
      absorbed_[other] = true;
      // What is added is read by what adds it, unless it passes through more.
      if (id == found.addition && !layer.read_by.contains("bias")) layer.read_by["bias"] = other;
    }
    found_.emplace(index, std::move(found));
  }

  void BindTensor(std::uint32_t index, const std::string& part, const StoredTensor& tensor) {
    Layer& layer = graph_.layers[index];
    layer.tensors[part] = tensor.tensor;
    for (const std::uint32_t through : tensor.layers) {
      if (through != index && tensor.own) absorbed_[through] = true;
    }
    if (!tensor.layers.empty() && tensor.layers.front() != index) {
      layer.read_by[part] = tensor.layers.front();
    }
  }

  void FindUnfusedBatchNorms() {
    for (std::uint32_t i = 0; i < network_.operations.size(); ++i) {
      const std::uint32_t layer = network_.operations[i].layer;
      if (absorbed_[layer] || found_.contains(layer)) continue;
      const auto found = FindUnfusedBatchNorm(uses_, elements_, {i});
      if (found && EachIsALayer(*found)) BindUnfused(*found);
    }
  }

  void FindScales() {
    for (const auto& [index, operations] : found_) {
      const Layer& layer = graph_.layers[index];
      if (IsBatchNorm(layer) || !layer.axis) continue;
      const auto found = FindScaledChannels(uses_, elements_, operations.output, *layer.axis);
      if (found && EachIsALayer(*found)) BindUnfused(*found);
    }
  }

  // An operation of a layer that does more cannot be taken out of it.
  bool EachIsALayer(const UnfusedBatchNorm& norm) const {
    return std::all_of(norm.path.begin(), norm.path.end(), [this](OperationId id) {
      const std::uint32_t layer = network_.operation(id).layer;
      return operations_[layer].size() == 1 && !absorbed_[layer] && !found_.contains(layer);
    });
  }

  void BindUnfused(const UnfusedBatchNorm& norm) {
    const std::uint32_t index = network_.operation(norm.path.back()).layer;
    Layer& layer = graph_.layers[index];
    layer.axis = norm.axis;
    layer.has_scale = norm.vectors.contains("gamma");
    layer.has_center = norm.vectors.contains("beta");
    layer.has_statistics = norm.HasStatistics();
    layer.op_type = "scale and offset for each channel";
    if (layer.has_statistics) {
      layer.op_type = "batch norm in simple operations";
      layer.epsilon = norm.epsilon;
      layer.stores_deviation = norm.stores_deviation;
      layer.axes_behind_channels = norm.axes_behind_channels;
    }
    network::BatchNormalization computed;
    computed.axis = norm.axis;
    computed.epsilon = norm.epsilon;
    layer.computation = computed;
    layer.can_rebind = facts_.can_rebind && norm.own;
    layer.path_input = norm.input_operand;
    for (const OperationId id : norm.path) Absorb(id, layer.path);
    for (const OperationId id : norm.beside) {
      if (IsWhole(id, norm)) Absorb(id, layer.beside);
    }
    absorbed_[index] = false;
    for (const auto& [part, tensor] : norm.vectors) {
      layer.tensors[part] = tensor.tensor;
      layer.read_by[part] = tensor.layers.empty() ? ReaderOf(norm, tensor) : tensor.layers.front();
    }
    unfused_[index] = norm;
  }

  void Absorb(OperationId id, std::vector<std::uint32_t>& into) {
    const std::uint32_t layer = network_.operation(id).layer;
    absorbed_[layer] = true;
    if (into.empty() || into.back() != layer) into.push_back(layer);
  }
  bool IsWhole(OperationId id, const UnfusedBatchNorm& norm) const {
    const auto& operations = operations_[network_.operation(id).layer];
    return std::all_of(operations.begin(), operations.end(), [&](OperationId one) {
      return std::binary_search(norm.beside.begin(), norm.beside.end(), one);
    });
  }
  // The layer of the norm whose operand the tensor itself is.
  std::uint32_t ReaderOf(const UnfusedBatchNorm& norm, const StoredTensor& tensor) const {
    for (const auto* operations : {&norm.path, &norm.beside}) {
      for (const OperationId id : *operations) {
        for (const network::ValueId operand : network_.operation(id).operands) {
          if (operand == kNoValue) continue;
          const auto& constant = network_.value(operand).constant;
          const auto* stored =
              constant ? std::get_if<network::StoredConstant>(&*constant) : nullptr;
          if (stored != nullptr && stored->tensor == tensor.tensor) {
            return network_.operation(id).layer;
          }
        }
      }
    }
    return network_.operation(norm.path.back()).layer;
  }

  // Operations of a layer that only together are what it does are not told apart here.
  void Describe(std::uint32_t index) {
    const Operation* only = nullptr;
    for (const OperationId id : operations_[index]) {
      const Operation& operation = network_.operation(id);
      if (operations_[index].size() > 1 && ReadsNoData(operation)) continue;
      if (only != nullptr) return;
      only = &operation;
    }
    if (only == nullptr || only->results.empty() || only->operands.empty()) return;
    // What the rules say of operand 0 is said of the data.
    if (uses_.IsFixed(only->operands.front())) return;
    // What the rules say is said of the first result, and of parts that are alike.
    if (!std::holds_alternative<network::Split>(only->computation) && ReadsOtherResult(*only)) {
      return;
    }
    Layer& layer = graph_.layers[index];
    if (!IsUnknown(layer)) return;  // a batch norm whose parameters are computed
    layer.computation = SettledOperation(uses_, *only, elements_);
    DescribeOperation(uses_, *only, elements_, layer);
  }

  bool ReadsOtherResult(const Operation& operation) const {
    return std::any_of(operation.results.begin() + 1, operation.results.end(), [&](auto result) {
      return result != kNoValue && (uses_.IsOutput(result) || !uses_.ReadersOf(result).empty());
    });
  }

  // How layers are called that are several operations, or one that tensors belong to.
  std::map<std::uint32_t, CallOfOperations> WholeCalls() const {
    std::map<std::uint32_t, CallOfOperations> calls;
    for (const auto& [index, layer] : found_) {
      calls[index] = {layer.data, layer.output, layer.operations.back()};
    }
    for (const auto& [index, norm] : given_) {
      calls[index] = {norm->data, norm->output, operations_[index].back()};
    }
    for (std::uint32_t i = 0; i < unfused_.size(); ++i) {
      if (unfused_[i]) calls[i] = {unfused_[i]->input, unfused_[i]->output, operations_[i].back()};
    }
    return calls;
  }

  std::map<LayerId, LayerPlace> Places() {
    std::map<LayerId, LayerPlace> places;
    for (auto& [index, layer] : found_) {
      if (IsBatchNorm(graph_.layers[index])) continue;
      places[index] = {layer.data, layer.output, layer.first, layer.operations.back(),
                       std::move(layer.places)};
    }
    return places;
  }

  const Network& network_;
  const LayerFacts& facts_;
  const ValueUses uses_;
  const ElementsLookup elements_;
  OperationsOfLayers operations_;
  std::vector<bool> absorbed_;                            // by layer: part of another one
  std::vector<std::optional<UnfusedBatchNorm>> unfused_;  // by the layer that stands for it
  std::map<std::uint32_t, LayerOfOperations> found_;      // by layer: one with tensors
  std::map<std::uint32_t, const FoundBatchNorm*> given_;  // by the layer that stands for it
  ModelGraph graph_;
};

}  // namespace

FoundLayers FindLayers(const network::Network& network, const LayerFacts& facts) {
  return Finder(network, facts).Find();
}

}  // namespace ckpt
