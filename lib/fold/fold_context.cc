#include "fold/fold_context.h"

#include "ckpt/layer_computation.h"
#include "fold/reason.h"

namespace ckpt {
namespace {

// As a batch norm whose statistics are 0 and 1.
BatchNorm OfScale(const Manifest& manifest, LayerId id) {
  const Layer& layer = manifest.graph->layers[id];
  const Evidence evidence{
      EvidenceSource::kGraph,
      manifest.graph->source + ": " + Quoted(layer.name) + " is a " + layer.op_type};
  BatchNorm scale;
  scale.scope = layer.name;
  scale.gamma = layer.tensors.at("gamma");
  scale.beta = layer.tensors.at("beta");
  scale.channels = manifest.tensors[scale.gamma->index].shape.element_count();
  scale.epsilon = {0, evidence};
  scale.layer = id;
  scale.evidence = {evidence};
  return scale;
}

}  // namespace

FoldContext::FoldContext(const Checkpoint& of, const Analysis& its_analysis,
                         const FoldOptions& its_options)
    : checkpoint(of),
      manifest(of.manifest()),
      analysis(its_analysis),
      options(its_options),
      shared(manifest),
      steps(of, its_options.cast) {
  for (const BatchNorm& batch_norm : analysis.batch_norms) {
    candidates.push_back({.batch_norm = batch_norm});
  }
  // Those of another file's graph (see BindGraph) are constants of that file.
  if (!manifest.graph || manifest.graph->of_other_file) return;
  for (LayerId id = 0; id < manifest.graph->layers.size(); ++id) {
    if (!ScalesChannels(manifest.graph->layers[id])) continue;
    candidates.push_back({.batch_norm = OfScale(manifest, id), .is_scale = true});
  }
}

Status FoldContext::ReadFunction(std::size_t i) {
  Candidate& candidate = candidates[i];
  if (const auto keep = options.keep.find(i); keep != options.keep.end()) {
    candidate.reason = keep->second;
    return {};
  }
  auto function = candidate.is_scale
                      ? ReadScaleFunction(checkpoint, candidate.batch_norm)
                      : ReadBatchNormFunction(checkpoint, candidate.batch_norm, options, notes);
  if (!function) return Explain(i, "", function.error());
  candidate.function = *std::move(function);
  return {};
}

void FoldContext::SetFolded(std::size_t i, FoldDirection direction,
                            const std::vector<FoldPart>& parts, std::vector<Evidence> evidence) {
  Candidate& candidate = candidates[i];
  candidate.folded = true;
  candidate.direction = direction;
  for (const FoldPart& part : parts) candidate.kernels.push_back(KeyOf(part.layer));
  candidate.evidence = std::move(evidence);
}

Status FoldContext::Explain(std::size_t i, const std::string& attempt, const Error& error) {
  if (!IsRefusal(error)) return Fail(error);
  KeepingReason& reason = candidates[i].reason;
  if (!reason.text.empty()) reason.text += "; ";
  reason.text += attempt.empty() ? error.message : attempt + ": " + error.message;
  if (reason.remedy == Remedy::kNone) reason.remedy = error.remedy;
  return {};
}

}  // namespace ckpt
