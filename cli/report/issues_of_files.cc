// Conversions, comparisons and runs side by side as issues.
#include "cli/report/issues.h"
#include "cli/report/text_table.h"

namespace ckpt::cli {
namespace {

struct Found {
  Severity severity;
  std::string_view rule, name, message;
};

void Add(Checked& checked, const Wanted& wanted, const Found& found) {
  if (!wanted(found.severity)) return;
  Issue issue{found.severity, nullptr, std::string(found.rule), ForPeople(found.message)};
  issue.subject = ForPeople(found.name);
  if (!found.name.empty()) issue.names.emplace_back(found.name);
  checked.issues.push_back(std::move(issue));
}

// Of a pair the file that failed, else B.
std::string PathOf(const std::optional<Error>& error, const std::string& b) {
  return error && !error->file.empty() ? error->file : b;
}

std::string HowItDiffers(const TensorDiff& tensor) {
  switch (tensor.status) {
    case TensorStatus::kAdded:
      return "is in B only";
    case TensorStatus::kRemoved:
      return "is in A only";
    case TensorStatus::kRetyped:
    case TensorStatus::kReshaped:
    case TensorStatus::kChanged:
    case TensorStatus::kEqual:
      break;
  }
  if (tensor.by != ComparedBy::kBytes) return std::string(Name(tensor.status));
  std::string out = std::to_string(tensor.differing) + " of " + std::to_string(tensor.elements) +
                    " elements differ, max abs " + FormatNumber(tensor.max_abs) + ", max rel " +
                    FormatNumber(tensor.max_rel);
  if (tensor.nan_b > 0) out += ", " + std::to_string(tensor.nan_b) + " NaN in B";
  if (tensor.non_finite > 0) out += ", " + std::to_string(tensor.non_finite) + " not finite";
  return out;
}

bool IsDifference(const TensorDiff& tensor) {
  if (!tensor.counts || tensor.status == TensorStatus::kEqual) return false;
  return tensor.by != ComparedBy::kBytes || tensor.beyond_tolerance > 0;
}

}  // namespace

Checked CheckedOf(const Conversion& conversion, const Wanted& wanted) {
  Checked checked{conversion.input, {}, {}};
  if (conversion.error) {
    AddError(checked, *conversion.error,
             conversion.calibration ? "not-calibrated" : "not-converted", wanted);
  }
  if (conversion.calibration && conversion.calibration->few)
    Add(checked, wanted,
        {Severity::kWarning, "few-examples", {}, "the statistics rest on too few examples"});
  if (conversion.plan) {
    const PlanReport& plan = *conversion.plan;
    for (const Changed& changed : plan.changed)
      Add(checked, wanted, {Severity::kInfo, "changed", changed.batch_norm, changed.reason});
    for (const Kept& kept : plan.kept)
      Add(checked, wanted, {Severity::kInfo, "kept", kept.batch_norm, kept.reason});
    checked.verdict = "folded " + Plural(plan.folded.size(), "batch norm") + ", kept " +
                      std::to_string(plan.kept.size()) + ", dropped " +
                      Plural(plan.dropped.size(), "tensor");
  }
  if (conversion.calibration)
    checked.verdict = "calibrated " + Plural(conversion.calibration->layers.size(), "batch norm");
  if (conversion.error) {
    checked.verdict = "nothing was written";
  } else {
    checked.verdict += (conversion.dry_run ? "; nothing was written to " : "; wrote ") +
                       ForPeople(conversion.output);
  }
  return checked;
}

Checked CheckedOf(const Comparison& comparison, const Wanted& wanted) {
  Checked checked{PathOf(comparison.error, comparison.b), {}, {}};
  if (comparison.error) AddError(checked, *comparison.error, kUnreadable, wanted);
  if (!comparison.diff) return checked;
  const CheckpointDiff& diff = *comparison.diff;
  std::uint64_t differ = 0;
  for (const TensorDiff& tensor : diff.tensors) {
    if (!IsDifference(tensor)) continue;
    ++differ;
    Add(checked, wanted,
        {Severity::kWarning, Name(tensor.status),
         tensor.name_a.empty() ? tensor.name_b : tensor.name_a, HowItDiffers(tensor)});
  }
  for (const Signature& signature : diff.signatures)
    Add(checked, wanted, {Severity::kInfo, signature.id, {}, signature.message});
  checked.verdict = "against " + ForPeople(comparison.a) + ": ";
  if (diff.identical == Identical::kYes) {
    checked.verdict += "identical";
  } else if (diff.within_tolerance) {
    checked.verdict += "the same, within the tolerance";
  } else {
    checked.verdict +=
        std::to_string(differ) + " of " + Plural(diff.tensors.size(), "tensor") + " differ";
  }
  return checked;
}

Checked CheckedOf(const VerifiedPair& verified, const Wanted& wanted) {
  Checked checked{PathOf(verified.error, verified.b), {}, {}};
  if (verified.error) AddError(checked, *verified.error, kUnreadable, wanted);
  if (!verified.verification) return checked;
  const Verification& verification = *verified.verification;
  checked.verdict =
      "against " + ForPeople(verified.a) + ": " + std::string(Name(verification.verdict));
  const auto& beyond = verification.first_beyond;
  if (verification.verdict == Verdict::kDifferent)
    Add(checked, wanted,
        {Severity::kError, "different", beyond ? beyond->layer_b : std::string(),
         verification.reason});
  if (verification.verdict == Verdict::kCannotTell)
    Add(checked, wanted, {Severity::kError, "cannot-tell", {}, verification.reason});
  return checked;
}

}  // namespace ckpt::cli
