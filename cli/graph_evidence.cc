#include "cli/graph_evidence.h"

#include <algorithm>
#include <map>
#include <utility>

#include "ckpt/bind_graph.h"
#include "ckpt/formats/open_graph.h"
#include "ckpt/forwarding_checkpoint.h"
#include "ckpt/network/bind_network.h"
#include "ckpt/serving_layers.h"
#include "ckpt/serving_network.h"
#include "cli/report/advice.h"

namespace ckpt::cli {
namespace {

// A checkpoint with a graph that its file does not have.
class CheckpointWithGraph : public RewrittenCheckpoint {
 public:
  // `model`: the file that the graph is from; null: the layers are read off the checkpoint's own.
  CheckpointWithGraph(std::unique_ptr<Checkpoint> checkpoint, ModelGraph graph,
                      std::unique_ptr<Checkpoint> model)
      : RewrittenCheckpoint(std::move(checkpoint)), model_(std::move(model)) {
    manifest_.graph = std::move(graph);
  }
  CheckpointWithGraph(std::unique_ptr<Checkpoint> checkpoint, std::shared_ptr<const OpGraph> ops)
      : RewrittenCheckpoint(std::move(checkpoint)) {
    manifest_.ops = std::move(ops);
  }
  void AddNote(const std::string& note) {
    manifest_.note += (manifest_.note.empty() ? "" : "; ") + note;
  }

  // What the checkpoint records is of its own graph.
  const std::vector<LayerOrigin>& origins() const noexcept override { return none_; }

  // Of another graph of operations: what that computes. Else the checkpoint's own network where it
  // has one, else that of the graph's file over its tensors.
  Result<network::Network> MakeNetwork() const override {
    if (manifest_.ops != inner().manifest().ops) return NetworkOverSource(*this, {});
    auto network = RewrittenCheckpoint::MakeNetwork();
    if (network || network.error().code != ErrorCode::kUnsupported || model_ == nullptr) {
      return network;
    }
    auto of_model = model_->MakeNetwork();
    if (!of_model) return of_model;
    CKPT_RETURN_IF_ERROR(BindNetwork(*of_model, *model_, manifest_));
    return of_model;
  }

 private:
  std::unique_ptr<Checkpoint> model_;
  const std::vector<LayerOrigin> none_;
};

bool IsInPairs(const std::vector<UserPair>& pairs, const BatchNorm& batch_norm) {
  return std::any_of(pairs.begin(), pairs.end(), [&](const UserPair& pair) {
    return batch_norm.scope.starts_with(pair.batch_norm) ||
           pair.batch_norm.starts_with(batch_norm.scope);
  });
}

// The layers of a serving graph use moving statistics: what the operations of the file say of their
// mode is kept.
void KeepTrainingModes(const Analysis& from, Analysis& to) {
  std::map<TensorId, const BatchNorm*> by_statistic;
  for (const BatchNorm& norm : from.batch_norms) {
    if (norm.training_mode.empty()) continue;
    for (const auto& id : {norm.moving_mean, norm.moving_variance})
      if (id) by_statistic.emplace(*id, &norm);
  }
  for (BatchNorm& norm : to.batch_norms) {
    for (const auto& id : {norm.moving_mean, norm.moving_variance}) {
      const auto found = id ? by_statistic.find(*id) : by_statistic.end();
      if (found == by_statistic.end()) continue;
      norm.training_mode = found->second->training_mode;
      norm.training_mode_overridden = found->second->training_mode_overridden;
    }
  }
}

}  // namespace

Result<std::unique_ptr<Checkpoint>> WithGraphOf(std::unique_ptr<Checkpoint> checkpoint,
                                                const std::string& graph,
                                                const formats::Files& files) {
  CKPT_ASSIGN_OR_RETURN(auto model, formats::OpenGraphOf(files, graph));
  if (!model->manifest().graph && model->manifest().ops) {
    CKPT_ASSIGN_OR_RETURN(auto ops, BindOps(model->manifest(), checkpoint->manifest()));
    return std::make_unique<CheckpointWithGraph>(std::move(checkpoint), std::move(ops));
  }
  CKPT_ASSIGN_OR_RETURN(auto whole, formats::OpenWeightsOf(files, *checkpoint, *model));
  if (whole) return whole;
  CKPT_ASSIGN_OR_RETURN(BoundGraph bound, BindGraph(*model, *checkpoint));
  auto with_graph = std::make_unique<CheckpointWithGraph>(std::move(checkpoint),
                                                          std::move(bound.graph), std::move(model));
  for (const std::string& doubt : bound.doubts) with_graph->AddNote(doubt);
  return with_graph;
}

Status UseServingLayers(const AnalysisOptions& analysis, const ServingOptions& serving,
                        OpenedInput& input, FoldOptions& fold) {
  const Manifest& manifest = input.checkpoint->manifest();
  const bool asked = !serving.inputs.empty() || !serving.outputs.empty() || !serving.feed.empty();
  if (manifest.graph || !manifest.ops) {
    if (!asked) return {};
    return Fail(ErrorCode::kInvalidArgument,
                "--inputs, --outputs and --feed are for a graph of operations, and there is none");
  }
  // Whether a layer in training mode may be folded is decided with the plan.
  ServingOptions closing = serving;
  closing.close_training_mode = true;
  auto layers = ServingLayers(*input.checkpoint, closing);
  if (!layers) {
    const Error& error = layers.error();
    if (error.code != ErrorCode::kUnfit && error.code != ErrorCode::kUnsupported)
      return Fail(error);
    const std::string why =
        "the graph (" + manifest.ops->source +
        ") says what feeds it, and could not be read to the end: " + MessageOf(error);
    for (std::size_t i = 0; i < input.analysis.batch_norms.size(); ++i) {
      if (!IsInPairs(fold.pairs, input.analysis.batch_norms[i])) fold.keep.emplace(i, why);
    }
    return {};
  }
  input.checkpoint = std::make_unique<CheckpointWithGraph>(std::move(input.checkpoint),
                                                           *std::move(layers), nullptr);
  Analysis over_layers = Analyse(input.checkpoint->manifest(), analysis);
  KeepTrainingModes(input.analysis, over_layers);
  input.analysis = std::move(over_layers);
  return {};
}

Status UseOwnNames(const AnalysisOptions& analysis, OpenedInput& input) {
  const Checkpoint* before = input.checkpoint.get();
  CKPT_ASSIGN_OR_RETURN(input.checkpoint, WithOwnNames(std::move(input.checkpoint)));
  if (input.checkpoint.get() != before)
    input.analysis = Analyse(input.checkpoint->manifest(), analysis);
  return {};
}

}  // namespace ckpt::cli
