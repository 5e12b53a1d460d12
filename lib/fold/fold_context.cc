#include "fold/fold_context.h"

#include "fold/reason.h"

namespace ckpt {

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
}

Status FoldContext::ReadFunction(std::size_t i) {
  Candidate& candidate = candidates[i];
  if (const auto keep = options.keep.find(i); keep != options.keep.end()) {
    candidate.reason = keep->second;
    return {};
  }
  auto function = ReadBatchNormFunction(checkpoint, candidate.batch_norm, options, notes);
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
