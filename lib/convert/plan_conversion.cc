#include <algorithm>
#include <set>

#include "averages/ema_weights.h"
#include "ckpt/convert.h"
#include "conventions/apply_convention.h"
#include "convert/cast_range.h"
#include "convert/fitness.h"
#include "convert/output_names.h"
#include "convert/training_mode.h"
#include "convert/training_state.h"
#include "core/name_list.h"

namespace ckpt {
namespace {

class Planner {
 public:
  // `weights`: what the fold and the copies read. `shadows`: of its variables, those that stand for
  // them in the checkpoint.
  Planner(const Checkpoint& weights, std::map<TensorId, TensorId> shadows, const Analysis& analysis,
          const AuditResult& audit, const ConvertOptions& options)
      : weights_(weights),
        shadows_(std::move(shadows)),
        manifest_(weights.manifest()),
        analysis_(analysis),
        audit_(audit),
        options_(options) {}

  Result<ConversionPlan> Plan();

 private:
  Result<FoldPlan> Fold(std::map<std::size_t, std::string> keep) const;
  Status CheckStrict() const;
  // Why the tensor is not in the output; empty: it is.
  std::optional<Dropped> WhyDropped(TensorId id, const std::set<TensorId>& consumed) const;
  bool IsWrittenShadow(TensorId id) const;
  Status AddTensors(FoldPlan fold);
  Status AddCopy(TensorId id);
  void NoteShadows();
  void RelateToOutput();
  // The plan's sources are those of the checkpoint from here on.
  void ReadShadows();

  const Checkpoint& weights_;
  const std::map<TensorId, TensorId> shadows_;
  const Manifest& manifest_;
  const Analysis& analysis_;
  const AuditResult& audit_;
  const ConvertOptions& options_;
  ConversionPlan plan_;
};

Result<FoldPlan> Planner::Fold(std::map<std::size_t, std::string> keep) const {
  FoldOptions options = options_.fold;
  options.cast = options_.cast;
  options.keep.merge(keep);
  options.close_training_mode = true;  // CheckTrainingMode says what may not be closed
  return PlanFold(weights_, analysis_, options);
}

Status Planner::CheckStrict() const {
  if (!options_.fold.fold || !options_.fold.strict || plan_.kept.empty()) return {};
  NameList kept;
  for (const Kept& one : plan_.kept) kept.Add(one.batch_norm);
  const Kept& first = plan_.kept.front();
  return Fail(Error{ErrorCode::kUnfit, std::to_string(kept.count()) +
                                           " batch norms cannot be folded: " + kept.text() + " (" +
                                           first.batch_norm + ": " + first.reason + ")"}
                  .With(first.remedy)
                  .About(Setting::kStrict));
}

bool Planner::IsWrittenShadow(TensorId id) const {
  const std::optional<TensorId>& of = analysis_.roles[id.index].of;
  const auto shadow = of ? shadows_.find(*of) : shadows_.end();
  return shadow != shadows_.end() && shadow->second == id;
}

std::optional<Dropped> Planner::WhyDropped(TensorId id, const std::set<TensorId>& consumed) const {
  const TensorRole& role = analysis_.roles[id.index];
  const TensorInfo& info = manifest_.tensors[id.index];
  if (DescribesItsFile(info)) return Dropped{info.name, "bookkeeping of the checkpoint"};
  if (info.section == Section::kConstant && !options_.keep_graph_constants) {
    return Dropped{info.name, "a constant of the graph, no parameter"};
  }
  if (!options_.keep_training_state) return WhyNotServed(manifest_, analysis_, id);
  if (!role.of || !consumed.contains(*role.of)) return std::nullopt;
  Dropped dropped =
      WhyNotServed(manifest_, analysis_, id)
          .value_or(Dropped{info.name, "state", manifest_.tensors[role.of->index].name});
  dropped.of_folded = true;
  return dropped;
}

// Whose scales stand beside the integers in the pickle. TensorFlow's are tensors of their own.
bool IsQuantisedByPyTorch(const Manifest& manifest, Dtype dtype) {
  const bool quantised = dtype == Dtype::kQI8 || dtype == Dtype::kQU8 || dtype == Dtype::kQI32;
  return quantised && manifest.framework == Framework::kPyTorch;
}

// As it is, or cast.
Status Planner::AddCopy(TensorId id) {
  if (IsQuantisedByPyTorch(manifest_, manifest_.tensors[id.index].dtype)) {
    return Fail(Error{ErrorCode::kUnsupported,
                      "is quantised: its integers mean nothing without a scale and a zero point, "
                      "which are no tensors and would be lost; convert the model from before it "
                      "was quantised"}
                    .In(manifest_.resolved)
                    .Of(manifest_.tensors[id.index].name));
  }
  FoldedTensor tensor{.info = manifest_.tensors[id.index], .content = CopyOf{id}};
  if (options_.cast && IsFloat(tensor.info.dtype) && tensor.info.dtype != *options_.cast) {
    CKPT_RETURN_IF_ERROR(CheckCast(weights_, id, *options_.cast, plan_.notes));
    tensor.info.dtype = *options_.cast;
    tensor.info.byte_size = tensor.info.shape.element_count() * BitSize(*options_.cast) / 8;
    tensor.info.checksum.reset();
  }
  plan_.tensors.push_back(std::move(tensor));
  return {};
}

Status Planner::AddTensors(FoldPlan fold) {
  const std::set<TensorId> consumed(fold.consumed.begin(), fold.consumed.end());
  std::set<std::string> changed;
  for (const FoldedTensor& tensor : fold.tensors) changed.insert(tensor.info.name);

  for (std::uint32_t i = 0; i < manifest_.tensors.size(); ++i) {
    const TensorId id{i};
    const std::string& name = manifest_.tensors[i].name;
    const Role role = analysis_.roles[i].role;
    if (changed.contains(name)) continue;
    if (consumed.contains(id)) {
      if (role == Role::kBatchCounter || role == Role::kBnExtra) {
        plan_.dropped.push_back({name, "its batch norm was folded"});
      }
      continue;
    }
    if (IsWrittenShadow(id)) continue;
    if (auto dropped = WhyDropped(id, consumed)) {
      plan_.dropped.push_back(*std::move(dropped));
      continue;
    }
    CKPT_RETURN_IF_ERROR(AddCopy(id));
  }
  std::move(fold.tensors.begin(), fold.tensors.end(), std::back_inserter(plan_.tensors));
  return {};
}

// Slots and aliases name tensors by their index, which is another one in the output.
void Planner::RelateToOutput() {
  std::map<TensorId, std::uint32_t> index_of;
  for (std::uint32_t i = 0; i < plan_.tensors.size(); ++i) {
    const Content& content = plan_.tensors[i].content;
    if (const auto* copy = std::get_if<CopyOf>(&content)) index_of[copy->source] = i;
    if (const auto* scaled = std::get_if<ScaledKernel>(&content)) index_of[scaled->source] = i;
  }
  for (FoldedTensor& tensor : plan_.tensors) {
    for (auto* reference : {&tensor.info.slot_of, &tensor.info.alias_of}) {
      if (!*reference) continue;
      const auto found = index_of.find(**reference);
      *reference = found == index_of.end() ? std::optional<TensorId>{}
                                           : std::optional<TensorId>{TensorId{found->second}};
    }
  }
}

void Planner::NoteShadows() {
  if (!options_.use_ema) return;
  plan_.notes = NotesOnShadows(manifest_, analysis_, shadows_);
  if (shadows_.empty()) return;
  plan_.notes.insert(plan_.notes.begin(),
                     std::to_string(shadows_.size()) +
                         " moving averages are written in the place of what they are averages of");
}

void Planner::ReadShadows() {
  const auto source_of = [&](TensorId id) {
    const auto shadow = shadows_.find(id);
    return shadow == shadows_.end() ? id : shadow->second;
  };
  for (FoldedTensor& tensor : plan_.tensors) {
    tensor.must_be_finite = !options_.allow_findings;
    if (auto* copy = std::get_if<CopyOf>(&tensor.content)) {
      const Role role = analysis_.roles[copy->source.index].role;
      if (role == Role::kOptimizerSlot || role == Role::kEmaShadow) tensor.must_be_finite = false;
      const TensorInfo& info = manifest_.tensors[copy->source.index];
      if (tensor.info.dtype == info.dtype && !tensor.order) tensor.info.checksum = info.checksum;
      copy->source = source_of(copy->source);
    }
    if (auto* scaled = std::get_if<ScaledKernel>(&tensor.content)) {
      scaled->source = source_of(scaled->source);
    }
  }
}

Result<ConversionPlan> Planner::Plan() {
  if (options_.cast && (!IsFloat(*options_.cast) || BitSize(*options_.cast) % 8 != 0)) {
    return Fail(Error{ErrorCode::kInvalidArgument,
                      std::string(Name(*options_.cast)) + " is not a type to cast to"}
                    .About(Setting::kCast));
  }
  CKPT_ASSIGN_OR_RETURN(auto keep,
                        CheckFitness(manifest_, analysis_, audit_, options_.allow_findings));
  CKPT_RETURN_IF_ERROR(CheckTrainingMode(manifest_, analysis_, options_));
  NoteShadows();
  CKPT_ASSIGN_OR_RETURN(FoldPlan fold, Fold(std::move(keep)));
  plan_.folded = std::move(fold.folded);
  plan_.kept = std::move(fold.kept);
  plan_.edits = std::move(fold.edits);
  plan_.proof = fold.proof;
  plan_.notes.insert(plan_.notes.end(), fold.notes.begin(), fold.notes.end());
  CKPT_RETURN_IF_ERROR(CheckStrict());
  SettleTrainingMode(manifest_, analysis_, options_, plan_);
  CKPT_RETURN_IF_ERROR(AddTensors(std::move(fold)));
  CKPT_RETURN_IF_ERROR(ApplyConvention(manifest_, analysis_, options_, plan_));
  CKPT_RETURN_IF_ERROR(Rename(manifest_, options_.rename, plan_));
  for (const FoldedTensor& tensor : plan_.tensors) {
    if (tensor.order && !IsIdentity(*tensor.order)) {
      plan_.reordered.emplace(tensor.info.name, tensor.order->name);
    }
  }
  RelateToOutput();
  ReadShadows();
  return std::move(plan_);
}

}  // namespace

Result<ConversionPlan> PlanConversion(const Checkpoint& checkpoint, const Analysis& analysis,
                                      const AuditResult& audit, const ConvertOptions& options) {
  if (!options.use_ema) return Planner(checkpoint, {}, analysis, audit, options).Plan();
  CKPT_ASSIGN_OR_RETURN(auto shadows, FindShadows(checkpoint.manifest(), analysis));
  const EmaWeights weights(checkpoint, shadows);
  return Planner(weights, shadows, analysis, audit, options).Plan();
}

}  // namespace ckpt
