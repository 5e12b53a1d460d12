#include "cli/output_audit.h"

#include <algorithm>

#include "ckpt/audit.h"

namespace ckpt::cli {
namespace {

constexpr std::size_t kNamedFindings = 3;

tl::unexpected<Error> NotFit(const std::vector<Finding>& findings) {
  std::string message = "what would be written is not fit to be served: ";
  std::size_t errors = 0;
  for (const Finding& finding : findings) {
    if (finding.severity != Severity::kError || errors++ >= kNamedFindings) continue;
    message += (errors > 1 ? "; " : "") + std::string(finding.rule->id) + " " +
               std::string(finding.rule->name) + ": " + finding.subject;
  }
  if (errors > kNamedFindings)
    message += "; and " + std::to_string(errors - kNamedFindings) + " more";
  return Fail(ErrorCode::kUnfit, message + "; --allow-findings writes what is there");
}

bool Names(const Finding& finding, const std::string& tensor) {
  return std::find(finding.tensors.begin(), finding.tensors.end(), tensor) != finding.tensors.end();
}

// Is the tensor written as it is?
bool IsCopied(const ConversionPlan& plan, const std::string& tensor) {
  return std::any_of(plan.tensors.begin(), plan.tensors.end(), [&](const FoldedTensor& written) {
    return written.info.name == tensor && std::holds_alternative<CopyOf>(written.content);
  });
}

}  // namespace

Status CheckEpsilonStays(const Manifest& manifest, const Analysis& analysis,
                         const AuditResult& audit, const ConversionPlan& plan) {
  const Rule* const rule = FindRule("negative-variance");
  for (const BatchNorm& norm : analysis.batch_norms) {
    const bool stays = !norm.epsilon || norm.epsilon->evidence.source == EvidenceSource::kDefault;
    if (stays || !norm.moving_variance) continue;
    const std::string& variance = manifest.tensors[norm.moving_variance->index].name;
    const bool negative = std::any_of(
        audit.findings.begin(), audit.findings.end(),
        [&](const Finding& finding) { return finding.rule == rule && Names(finding, variance); });
    if (!negative || !IsCopied(plan, variance)) continue;
    return Fail(ErrorCode::kUnfit,
                "not fit to be served: " + std::string(rule->id) + " " + std::string(rule->name) +
                    ": \"" + norm.scope +
                    "\", and what would be written does not record the epsilon that keeps variance "
                    "+ epsilon above 0; fold it, write a format that holds the network, or "
                    "--allow-findings writes what is there");
  }
  return {};
}

Result<OutputAudit> AuditOutput(const Checkpoint& written, bool allow_findings) {
  const AuditResult result = Audit(written, Analyse(written.manifest()), {});
  if (result.error) return Fail(*result.error);
  OutputAudit audit;
  for (const Finding& finding : result.findings) {
    audit.counts.Add(finding.severity);
    if (finding.severity == Severity::kInfo) continue;
    const std::string id(finding.rule->id);
    if (std::find(audit.rules.begin(), audit.rules.end(), id) == audit.rules.end()) {
      audit.rules.push_back(id);
    }
  }
  if (audit.counts.errors != 0 && !allow_findings) return NotFit(result.findings);
  return audit;
}

}  // namespace ckpt::cli
