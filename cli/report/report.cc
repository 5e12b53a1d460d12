#include "cli/report/report.h"

namespace ckpt::cli {

void SeverityCounts::Add(Severity severity) noexcept {
  ++(severity == Severity::kError ? errors : severity == Severity::kWarning ? warnings : infos);
}

PlanReport ReportOf(const ConversionPlan& plan) {
  return {plan.tensors.size(), plan.folded, plan.kept,      plan.changed,     plan.dropped,
          plan.renamed,        plan.names,  plan.reordered, plan.batch_norms, plan.notes};
}

}  // namespace ckpt::cli
