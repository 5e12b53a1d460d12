#include "cli/output_audit.h"

#include <algorithm>

#include "ckpt/audit.h"
#include "ckpt/calibration_mark.h"
#include "ckpt/recorded_module.h"
#include "cli/report/record.h"

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

// Is the tensor written as it is?
bool IsCopied(const ConversionPlan& plan, const std::string& tensor) {
  return std::any_of(plan.tensors.begin(), plan.tensors.end(), [&](const FoldedTensor& written) {
    return written.info.name == tensor && std::holds_alternative<CopyOf>(written.content);
  });
}

std::string KindOf(const RecordedModule& module) {
  if (module.class_name.empty()) return "is no batch norm by the version that its state has";
  return "is a " + module.class_name;
}

}  // namespace

Status CheckNormsStayTold(const Manifest& manifest, const Analysis& analysis,
                          const ConversionPlan& plan) {
  if (manifest.modules.empty()) return {};
  Manifest by_names;  // what is left of it
  for (const FoldedTensor& tensor : plan.tensors) by_names.tensors.push_back(tensor.info);
  const ModuleIndex modules(manifest);
  for (const BatchNorm& norm : Analyse(by_names).batch_norms) {
    const RecordedModule* const module = modules.Find(norm.scope);
    const bool known =
        std::any_of(analysis.batch_norms.begin(), analysis.batch_norms.end(),
                    [&](const BatchNorm& in_input) { return in_input.scope == norm.scope; });
    if (!norm.certain || norm.moving_mean || norm.moving_variance || known || module == nullptr)
      continue;
    return Fail(ErrorCode::kUnfit,
                "\"" + norm.scope + "\" " + KindOf(*module) +
                    ", and OUTPUT would not say so: whoever reads its names takes it for a batch "
                    "norm that lost its statistics; write a .pt, give it another name (--rename), "
                    "or --allow-findings writes what is there");
  }
  return {};
}

Status CheckEpsilonStays(const Manifest& manifest, const Analysis& analysis,
                         const AuditResult& audit, const ConversionPlan& plan) {
  const Rule* const rule = FindRule("negative-variance");
  for (const BatchNorm& norm : analysis.batch_norms) {
    const bool stays = !norm.epsilon || norm.epsilon->evidence.source == EvidenceSource::kDefault;
    if (stays || !norm.moving_variance) continue;
    const std::string& variance = manifest.tensors[norm.moving_variance->index].name;
    const bool negative =
        std::any_of(audit.findings.begin(), audit.findings.end(), [&](const Finding& finding) {
          return finding.rule == rule && finding.IsAbout(*norm.moving_variance);
        });
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

namespace {

// What a conversion would write, read from its source. Its network is that of OUTPUT, which nothing
// says before it is written.
class Planned : public Checkpoint {
 public:
  Planned(const Checkpoint& source, const ConversionPlan& plan) : source_(source), plan_(plan) {
    manifest_.resolved = source.manifest().resolved;
    manifest_.metadata = plan.metadata;
    for (const FoldedTensor& tensor : plan.tensors) {
      TensorInfo info = tensor.info;
      // What names alone can say.
      info.owner = info.local_name = {};
      info.slot_of.reset();
      info.alias_of.reset();
      manifest_.tensors.push_back(std::move(info));
    }
  }
  std::string_view format() const noexcept override { return source_.format(); }
  const Manifest& manifest() const noexcept override { return manifest_; }
  Result<std::unique_ptr<TensorStream>> Open(TensorId id) const override {
    return OpenPlanned(source_, plan_, id.index);
  }

 private:
  const Checkpoint& source_;
  const ConversionPlan& plan_;
  Manifest manifest_;
};

}  // namespace

Result<OutputAudit> AuditPlanned(const Checkpoint& source, const ConversionPlan& plan,
                                 bool allow_findings) {
  return AuditOutput(Planned(source, plan), allow_findings);
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

Status CarryOut(const Checkpoint& source, const ConversionPlan& plan,
                formats::ConversionTarget& target, const formats::FilesRead& read,
                const Acceptance& acceptance, Conversion& report,
                std::shared_ptr<const OpGraph> ops) {
  target.accept = [&](const Checkpoint& written) -> Status {
    // The record, which has the mark of what was calibrated, is not in its place yet.
    const auto marked =
        report.calibration ? WithMark(written, report.calibration->marked) : nullptr;
    CKPT_ASSIGN_OR_RETURN(report.audit,
                          AuditOutput(marked ? *marked : written, acceptance.allow_findings));
    if (!acceptance.certify) return {};
    CKPT_ASSIGN_OR_RETURN(report.certificate, acceptance.certify(written));
    return {};
  };
  const auto record_text = [&report](const formats::ConversionRecord& files) {
    return RecordText(report, files, "ckpt " CKPT_VERSION);
  };
  CKPT_ASSIGN_OR_RETURN(const formats::ConversionOutcome outcome,
                        formats::Convert(source, plan, target, read, record_text, std::move(ops)));
  report.written = {target.record_path, outcome.bytes};
  return {};
}

}  // namespace ckpt::cli
