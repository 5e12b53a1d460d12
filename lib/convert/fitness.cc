#include "convert/fitness.h"

#include "core/name_list.h"

namespace ckpt {
namespace {

Status CheckData(const Manifest& manifest) {
  NameList absent;
  for (const TensorInfo& info : manifest.tensors) {
    if (!info.data_present) absent.Add(info.name);
  }
  for (const Problem& problem : manifest.problems) {
    // A part whose tensors are not even known: what would be written is not the checkpoint.
    if (absent.count() > 0 || !problem.tensors.empty()) continue;
    if (problem.error.code != ErrorCode::kNotFound) continue;
    Error error = problem.error;
    error.code = ErrorCode::kUnfit;
    return Fail(std::move(error));
  }
  if (absent.count() == 0) return {};
  Error error{ErrorCode::kUnfit, "the data of " + std::to_string(absent.count()) +
                                     " tensors cannot be had: " + absent.text()};
  for (const Problem& problem : manifest.problems) {
    if (problem.tensors.empty()) continue;
    error.file = problem.error.file;
    error.message = problem.error.message + "; " + error.message;
    // A shard that is absent makes the checkpoint unfit, a short one is damage.
    if (problem.error.code != ErrorCode::kNotFound) error.code = problem.error.code;
    break;
  }
  return Fail(std::move(error));
}

}  // namespace

Result<std::map<std::size_t, std::string>> CheckFitness(const Manifest& manifest,
                                                        const Analysis& analysis,
                                                        const AuditResult& audit,
                                                        bool allow_findings) {
  if (audit.error) return Fail(*audit.error);
  CKPT_RETURN_IF_ERROR(CheckData(manifest));

  std::map<std::size_t, std::string> keep;
  std::map<std::string, NameList> stopping;  // layers by rule
  for (const Finding& finding : audit.findings) {
    // A finding that is milder than usual has evidence against it, and does not stop.
    if (!finding.rule->stops_conversion() || finding.severity < finding.rule->severity) continue;
    const std::string rule = std::string(finding.rule->id) + " " + std::string(finding.rule->name);
    for (const std::size_t layer : finding.layers) {
      keep.emplace(layer, rule);
      stopping[rule].Add(analysis.batch_norms[layer].scope);
    }
    if (finding.layers.empty()) stopping[rule].Add(finding.subject);
  }
  if (stopping.empty() || allow_findings) return keep;
  std::string message = "not fit to be served: ";
  const char* separator = "";
  for (const auto& [rule, subjects] : stopping) {
    message += separator + rule + ": " + subjects.text();
    separator = "; ";
  }
  return Fail(Error{ErrorCode::kUnfit, std::move(message)}.With(Remedy::kAllowFindings));
}

}  // namespace ckpt
