#include "conventions/apply_convention.h"

#include <algorithm>
#include <set>
#include <utility>

#include "conventions/kernel_facts.h"
#include "conventions/names_of_convention.h"
#include "conventions/tensor_parts.h"
#include "convert/name_list.h"
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
        return Fail(ErrorCode::kInvalidArgument,
                    "--rename: there is no tensor called \"" + name + '"');
      }
      hints_[*id] = hint;
    }
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
                            std::string(Name(target_)) + "; --rename can give its \"layout\"",
                        {},
                        {},
                        old_name});
    }
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
  std::map<std::string, NameList> assumed_;  // by what is assumed
};

}  // namespace

Status ApplyConvention(const Manifest& manifest, const Analysis& analysis,
                       const ConvertOptions& options, ConversionPlan& plan) {
  if (!options.names) return {};
  const auto source = options.input_names ? options.input_names : analysis.framework;
  if (!source) {
    return Fail(ErrorCode::kUnfit,
                "whose names and kernel layouts the input follows is not known, so that they "
                "cannot become " +
                    std::string(Name(*options.names)) + "'s; --input-names can say");
  }
  if (*source == *options.names) return {};
  if (options.keep_training_state) {
    return Fail(ErrorCode::kInvalidArgument,
                "--keep-training-state: optimizer state has no names in another framework");
  }
  return Applier(manifest, analysis, options, plan, *source).Apply();
}

}  // namespace ckpt
