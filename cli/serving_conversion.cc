#include "cli/serving_conversion.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "ckpt/serving_shapes.h"
#include "cli/unwritable_output.h"

namespace ckpt::cli {
namespace {

Status CheckOptions(const Checkpoint& source, const ConvertOptions& convert,
                    const formats::Format& target) {
  if (source.manifest().ops == nullptr) {
    return Fail(NoGraphForOutput(source, target));
  }
  const char* refused = nullptr;
  if (convert.use_ema) refused = "--ema";
  if (convert.cast) refused = "--cast";
  if (convert.keep_training_state) refused = "--keep-training-state";
  if (!convert.fold.pairs.empty() || convert.fold.pair_by_order || convert.fold.pair_by_name)
    refused = "a pairing of batch norms";
  if (refused == nullptr) return {};
  return Fail(ErrorCode::kInvalidArgument, std::string(refused) + " has no meaning for " +
                                               std::string(target.name) +
                                               ", whose graph says what belongs together");
}

// Does `audit` say it of each of these layers too?
bool IsKnown(const AuditResult& audit, const Finding& finding) {
  const auto says = [&](std::size_t layer) {
    return std::any_of(audit.findings.begin(), audit.findings.end(), [&](const Finding& other) {
      return other.rule == finding.rule && other.IsAbout(layer);
    });
  };
  return !finding.layers.empty() && std::all_of(finding.layers.begin(), finding.layers.end(), says);
}

// What the source's audit says of tensors that are served, where the model's does not say it too.
void AddFindings(const AuditResult& of_source, const Manifest& served, const Analysis& analysed,
                 AuditResult& audit) {
  for (Finding finding : of_source.findings) {
    bool concerned = false;
    for (FindingTensor& tensor : finding.tensors) {
      tensor.id = FindTensor(served, tensor.name);
      concerned = concerned || tensor.id.has_value();
    }
    finding.layers = LayersOf(analysed, finding.tensors);
    if (concerned && !IsKnown(audit, finding)) audit.findings.push_back(std::move(finding));
  }
}

// Batch norms that were closed are listed as changed, not as kept.
void ListClosed(const ServingModel& model, const Analysis& analysed, bool fold,
                ConversionPlan& plan) {
  std::map<std::string, std::string> reasons;  // by the tensor of a moving statistic
  for (const Changed& closed : model.closed()) reasons.emplace(closed.batch_norm, closed.reason);
  std::set<std::string> listed;  // a layer of several signatures is there several times
  for (const BatchNorm& norm : analysed.batch_norms) {
    for (const auto& id : {norm.moving_mean, norm.moving_variance}) {
      const auto found =
          id ? reasons.find(model.manifest().tensors[id->index].name) : reasons.end();
      if (found == reasons.end()) continue;
      if (listed.insert(norm.scope).second) plan.AddChanged(norm.scope, found->second, fold);
      break;
    }
  }
}

}  // namespace

Result<ServingConversion> PlanServing(const Checkpoint& source, const AuditResult& audit,
                                      const AnalysisOptions& analysis,
                                      const ConvertOptions& convert, const ServingOptions& options,
                                      const formats::Format& target) {
  CKPT_RETURN_IF_ERROR(CheckOptions(source, convert, target));
  if (audit.error) return Fail(*audit.error);
  ServingConversion serving;
  CKPT_ASSIGN_OR_RETURN(serving.model, MakeServingModel(source, options));
  const Analysis analysed = Analyse(serving.model->manifest(), analysis);
  AuditResult findings = Audit(*serving.model, analysed, {});
  AddFindings(audit, serving.model->manifest(), analysed, findings);
  ConvertOptions planned = convert;
  planned.keep_training_state = true;  // the graph has already left behind what only trains
  CKPT_ASSIGN_OR_RETURN(serving.plan, PlanConversion(*serving.model, analysed, findings, planned));
  ConversionPlan& plan = serving.plan;
  ListClosed(*serving.model, analysed, convert.fold.fold, plan);
  const auto& unused = serving.model->unused();
  plan.dropped.insert(plan.dropped.end(), unused.begin(), unused.end());
  plan.notes.insert(plan.notes.begin(), serving.model->notes().begin(),
                    serving.model->notes().end());
  if (source.format() == "saved-model") {
    plan.notes.emplace_back(
        "a fingerprint (fingerprint.pb) describes the source alone and is not written");
  }
  CKPT_ASSIGN_OR_RETURN(OpGraph graph, serving.model->Apply(plan));
  AddKnownShapes(*serving.model, graph);
  if (target.name == "graph-def" && !graph.initializer.empty()) {
    return Fail(ErrorCode::kUnfit,
                "what it serves reads lookup tables or the paths of assets, which a loader gives "
                "their content; a graph-def has no place for that, --to saved-model has");
  }
  serving.graph = std::make_shared<OpGraph>(std::move(graph));
  return serving;
}

}  // namespace ckpt::cli
