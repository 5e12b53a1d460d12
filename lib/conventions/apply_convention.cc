#include "conventions/apply_convention.h"

#include <algorithm>
#include <set>
#include <utility>

#include "ckpt/layer_computation.h"
#include "conventions/flattened_channels.h"
#include "conventions/kernel_facts.h"
#include "conventions/names_of_convention.h"
#include "conventions/tensor_parts.h"
#include "core/name_list.h"
#include "roles/recorded_hyperparameters.h"

namespace ckpt {
namespace {

class Applier {
 public:
  Applier(const Manifest& manifest, const Analysis& analysis, const ConvertOptions& options,
          ConversionPlan& plan, Framework source)
      : manifest_(manifest),
        analysis_(analysis),
        options_(options),
        plan_(plan),
        source_(source),
        target_(*options.names),
        parts_(PartsOf(manifest, analysis)) {}

  Status Apply() {
    CKPT_RETURN_IF_ERROR(ReadUserNames());
    for (const TensorPart& part : parts_) {
      if (part.leaf.starts_with("pointwise_")) separable_.insert(part.scope);
    }
    for (const FoldedTensor& tensor : plan_.tensors) {
      if (const auto id = SourceOf(tensor)) written_.insert(*id);
    }
    CKPT_RETURN_IF_ERROR(FindFlattenedVectors());
    for (FoldedTensor& tensor : plan_.tensors) CKPT_RETURN_IF_ERROR(Convert(tensor));
    if (target_ != Framework::kPyTorch) DropCounters();
    for (const BatchNorm& layer : analysis_.batch_norms) AddBatchNorm(layer);
    plan_.names = target_;
    for (const auto& [why, tensors] : assumed_) {
      plan_.notes.push_back(tensors.text() + (tensors.count() == 1 ? " " : ": each ") + why);
    }
    plan_.notes.push_back("names and layouts of " + std::string(Name(source_)) + " -> " +
                          std::string(Name(target_)));
    return {};
  }

 private:
  // The tensor of the input that this one comes from, or whose place it takes.
  std::optional<TensorId> SourceOf(const FoldedTensor& tensor) const {
    if (const auto* copy = std::get_if<CopyOf>(&tensor.content)) return copy->source;
    if (const auto* scaled = std::get_if<ScaledKernel>(&tensor.content)) return scaled->source;
    return FindTensor(manifest_, tensor.info.name);
  }

  Status ReadUserNames() {
    for (const auto& [name, to] : options_.rename) {
      const auto id = FindTensor(manifest_, name);
      user_named_.insert(id ? manifest_.tensors[id->index].name : name);
    }
    for (const auto& [name, hint] : options_.hints) {
      const auto id = FindTensor(manifest_, name);
      if (!id) {
        return Fail(
            Error{ErrorCode::kInvalidArgument, "there is no tensor called \"" + name + '"'}.About(
                Setting::kRename));
      }
      hints_[*id] = hint;
    }
    return {};
  }

  // Behind a flatten a batch norm has a value for each row, in the order of the flatten.
  Status FindFlattenedVectors() {
    if (!manifest_.graph || IsChannelsFirst(source_) == IsChannelsFirst(target_)) return {};
    const ModelGraph& graph = *manifest_.graph;
    for (LayerId id = 0; id < graph.layers.size(); ++id) {
      const Layer& layer = graph.layers[id];
      CKPT_RETURN_IF_ERROR(CheckOutputs(id));
      const bool other = !IsBatchNorm(layer);
      const bool no_vectors = layer.is_input || IsLinear(layer) || HasNoParameters(layer);
      if (layer.tensors.empty() || no_vectors) continue;
      const auto channels = FlattenedChannels(manifest_, id);
      if (!channels && !other && ReadsAMatrix(id)) {
        return Fail(
            Error{channels.error().code, "its layer stands where " + channels.error().message}
                .With(channels.error().remedy)
                .Of(manifest_.tensors[layer.tensors.begin()->second.index].name));
      }
      if (!channels || !*channels) continue;
      for (const auto& [name, tensor] : layer.tensors) {
        const TensorInfo& info = manifest_.tensors[tensor.index];
        if (info.shape.rank() != 1 || info.shape[0] == **channels) continue;
        if (other) {
          return Fail(Error{ErrorCode::kUnfit,
                            "belongs to \"" + layer.name + "\" (" + layer.op_type +
                                ") behind a flatten, whose order another framework has otherwise"}
                          .Of(info.name));
        }
        behind_flatten_.emplace(tensor, **channels);
      }
    }
    return {};
  }

  // Of a dense layer whose layout the user does not give.
  Status CheckOutputs(LayerId id) const {
    const Layer& layer = manifest_.graph->layers[id];
    const auto kernel = layer.tensors.find("kernel");
    const bool open = IsDense(layer) && kernel != layer.tensors.end() &&
                      !hints_.contains(kernel->second) && written_.contains(kernel->second);
    Status checked = open ? CheckMakesNoImage(manifest_, id) : Status();
    if (!checked) checked.error().tensor = manifest_.tensors[kernel->second.index].name;
    return checked;
  }

  bool ReadsAMatrix(LayerId layer) const {
    const ModelGraph& graph = *manifest_.graph;
    for (const NodeId call : graph.CallsOf(layer)) {
      for (const ValueId input : graph.nodes[call].inputs) {
        if (graph.values[input].rank == std::int64_t{2}) return true;
      }
    }
    return false;
  }

  Status PermuteVector(TensorId id, FoldedTensor& tensor) const {
    const auto behind = behind_flatten_.find(id);
    if (behind == behind_flatten_.end() || tensor.info.shape.rank() != 1) return {};
    const std::int64_t rows = tensor.info.shape[0], channels = behind->second;
    if (channels <= 0 || rows % channels != 0) {
      return Fail(Error{ErrorCode::kUnfit, "has " + std::to_string(rows) +
                                               " values behind a flatten of " +
                                               std::to_string(channels) + " channels"}
                      .Of(tensor.info.name));
    }
    AxisOrder order;
    order.split = IsChannelsFirst(target_) ? std::vector<std::int64_t>{rows / channels, channels}
                                           : std::vector<std::int64_t>{channels, rows / channels};
    order.axes = {1, 0};
    order.result = tensor.info.shape;
    order.name = "permuted from " +
                 std::string(IsChannelsFirst(target_) ? "channels-last to channels-first"
                                                      : "channels-first to channels-last") +
                 " (" + std::to_string(channels) + " channels flattened)";
    tensor.info.checksum.reset();
    tensor.order = std::move(order);
    return {};
  }

  Status Convert(FoldedTensor& tensor) {
    const std::string old_name = tensor.info.name;
    const auto id = SourceOf(tensor);
    const TensorPart part = id ? parts_[id->index] : PartOfNew(old_name);
    std::optional<KernelFacts> kernel;
    if (part.role == Role::kKernel || (id && hints_.contains(*id))) {
      auto converted = ConvertKernel(*id, tensor);
      if (!converted) {
        Error error = std::move(converted).error();
        if (error.tensor.empty()) error.tensor = old_name;
        return Fail(std::move(error));
      }
      kernel = *std::move(converted);
    } else if (tensor.info.shape.rank() > 1 && part.role == Role::kOther &&
               part.leaf != "embeddings" && IsChannelsFirst(source_) != IsChannelsFirst(target_)) {
      return Fail(Error{ErrorCode::kUnfit,
                        "what it is in its layer is not known, and so neither is its layout in " +
                            std::string(Name(target_))}
                      .Of(old_name)
                      .With(Remedy::kGiveLayout));
    }
    if (id && !kernel) CKPT_RETURN_IF_ERROR(PermuteVector(*id, tensor));
    if (user_named_.contains(old_name)) return {};
    const std::string name =
        NameIn(target_, part, kernel ? &*kernel : nullptr, separable_.contains(part.scope));
    if (name == old_name) return {};
    plan_.renamed.emplace(old_name, name);
    tensor.info.name = tensor.info.stored_as = name;
    tensor.info.owner.clear();
    tensor.info.local_name.clear();
    return {};
  }

  Result<KernelFacts> ConvertKernel(TensorId id, FoldedTensor& tensor) {
    const auto given = hints_.find(id);
    CKPT_ASSIGN_OR_RETURN(const KernelFacts facts,
                          FactsOfKernel(manifest_, analysis_, source_, id,
                                        given == hints_.end() ? TensorHint{} : given->second));
    if (IsChannelsFirst(source_) == IsChannelsFirst(target_) || facts.embedding) return facts;
    CKPT_ASSIGN_OR_RETURN(AxisOrder order, OrderOf(tensor.info.shape, facts));
    if (!facts.assumed.empty()) assumed_[facts.assumed].Add(tensor.info.name);
    tensor.info.shape = order.result;
    tensor.info.checksum.reset();
    order.name += " (" + facts.evidence.detail + ")";
    tensor.order = std::move(order);
    return facts;
  }

  Result<AxisOrder> OrderOf(const Shape& shape, const KernelFacts& facts) const {
    using enum KernelLayout;
    if (facts.flattened_channels && *facts.flattened_channels > 0) {
      return OrderBehindFlatten(shape, facts.layout, *facts.flattened_channels);
    }
    const bool first = IsChannelsFirst(target_);
    switch (facts.layout) {
      case kSpatialInOut:
      case kSpatialInMultiplier:
        if (first) return OrderBetween(shape, facts.layout, kOutInSpatial);
        break;
      case kSpatialOutIn:
        if (first) return OrderBetween(shape, facts.layout, kInOutSpatial);
        break;
      case kOutInSpatial:
        if (first) break;
        return OrderBetween(shape, facts.layout,
                            facts.depthwise ? kSpatialInMultiplier : kSpatialInOut,
                            facts.multiplier);
      case kInOutSpatial:
        if (!first) return OrderBetween(shape, facts.layout, kSpatialOutIn);
        break;
    }
    return OrderBetween(shape, facts.layout, facts.layout);  // has the layout already
  }

  void DropCounters() {
    std::erase_if(plan_.tensors, [&](const FoldedTensor& tensor) {
      const auto id = SourceOf(tensor);
      if (!id || analysis_.roles[id->index].role != Role::kBatchCounter) return false;
      const std::string& name = manifest_.tensors[id->index].name;
      plan_.dropped.push_back(
          {name, "a count of batches, which " + std::string(Name(target_)) + " does not keep"});
      plan_.renamed.erase(name);
      return true;
    });
  }

  void AddBatchNorm(const BatchNorm& layer) {
    const bool stands = layer.moving_mean && layer.moving_variance &&
                        written_.contains(*layer.moving_mean) &&
                        written_.contains(*layer.moving_variance);
    if (!stands) return;
    const std::string scope = ScopeIn(target_, layer.scope);
    plan_.batch_norms.push_back({scope, layer.epsilon, layer.momentum});
    plan_.metadata.merge(HyperparameterRecord(scope, layer.epsilon, layer.momentum));
    if (target_ != Framework::kPyTorch) return;
    const TensorInfo& mean = manifest_.tensors[layer.moving_mean->index];
    const std::uint64_t channels = mean.shape.element_count();
    const bool gamma = layer.gamma && written_.contains(*layer.gamma);
    const bool beta = layer.beta && written_.contains(*layer.beta);
    // PyTorch's layers have both or neither.
    if (gamma != beta) {
      const TensorPart part{layer.scope, {}, gamma ? Role::kBeta : Role::kGamma};
      const std::string name = NameIn(target_, part, nullptr, false);
      Add(name, mean.dtype, *Shape::FromDims({static_cast<std::int64_t>(channels)}),
          std::vector<double>(channels, gamma ? 0.0 : 1.0));
      plan_.notes.push_back("\"" + name + "\" is " + (gamma ? "zeros" : "ones") +
                            ": PyTorch's batch norm has scale and offset or neither");
    }
    if (layer.batch_counter && written_.contains(*layer.batch_counter)) return;
    const TensorPart counter{layer.scope, {}, Role::kBatchCounter};
    Add(NameIn(target_, counter, nullptr, false), Dtype::kI64, Shape(), {0});
  }

  void Add(std::string name, Dtype dtype, Shape shape, std::vector<double> values) {
    TensorInfo info;
    info.name = info.stored_as = std::move(name);
    info.dtype = dtype;
    info.shape = std::move(shape);
    info.byte_size = values.size() * BitSize(dtype) / 8;
    plan_.tensors.push_back({std::move(info), Constant{std::move(values)}});
  }

  const Manifest& manifest_;
  const Analysis& analysis_;
  const ConvertOptions& options_;
  ConversionPlan& plan_;
  const Framework source_, target_;
  const std::vector<TensorPart> parts_;
  std::set<std::string> user_named_;
  std::map<TensorId, TensorHint> hints_;
  std::set<std::string> separable_;  // scopes
  std::set<TensorId> written_;
  std::map<TensorId, std::int64_t> behind_flatten_;  // vectors of so many flattened channels
  std::map<std::string, NameList> assumed_;          // by what is assumed
};

}  // namespace

Status ApplyConvention(const Manifest& manifest, const Analysis& analysis,
                       const ConvertOptions& options, ConversionPlan& plan) {
  if (!options.names) return {};
  const auto source = options.input_names ? options.input_names : analysis.framework;
  if (!source) {
    return Fail(Error{ErrorCode::kUnfit,
                      "whose names and kernel layouts the input follows is not known, so that they "
                      "cannot become " +
                          std::string(Name(*options.names)) + "'s"}
                    .With(Remedy::kNameFramework));
  }
  if (*source == *options.names) return {};
  if (options.keep_training_state) {
    return Fail(
        Error{ErrorCode::kInvalidArgument, "optimizer state has no names in another framework"}
            .About(Setting::kKeepTrainingState));
  }
  return Applier(manifest, analysis, options, plan, *source).Apply();
}

}  // namespace ckpt
