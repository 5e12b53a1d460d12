#include <algorithm>

#include "cli/report/text_pieces.h"
#include "cli/report/text_table.h"

namespace ckpt::cli {
namespace {

// What the comparison comes to, and what it rests on.
std::string Verdict(const CheckpointDiff& diff) {
  if (diff.identical == Identical::kYes) return "; identical";
  std::string out;
  if (diff.identical == Identical::kNo && diff.within_tolerance)
    out += "; equal within the tolerance";
  if (diff.by_checksum > 0) {
    out += "; " + Plural(diff.by_checksum, "tensor") + (diff.by_checksum == 1 ? " was" : " were") +
           " compared by stored checksums, the data not read (--bytes reads it)";
  }
  return out;
}

char Mark(TensorStatus status) {
  switch (status) {
    case TensorStatus::kEqual:
      return ' ';
    case TensorStatus::kChanged:
      return '*';
    case TensorStatus::kAdded:
      return '+';
    case TensorStatus::kRemoved:
      return '-';
    case TensorStatus::kRetyped:
      return 't';
    case TensorStatus::kReshaped:
      return 's';
  }
  return '?';
}

std::string Details(const TensorDiff& diff) {
  std::string out;
  if (diff.status == TensorStatus::kAdded)
    return ToString(diff.shape_b) + " " + std::string(Name(diff.dtype_b));
  if (diff.status == TensorStatus::kRemoved)
    return ToString(diff.shape_a) + " " + std::string(Name(diff.dtype_a));
  if (diff.status == TensorStatus::kReshaped)
    return ToString(diff.shape_a) + " -> " + ToString(diff.shape_b);
  if (diff.status == TensorStatus::kRetyped) {
    out = std::string(Name(diff.dtype_a)) + " -> " + std::string(Name(diff.dtype_b)) + "  ";
  }
  if (diff.by == ComparedBy::kChecksum) return out + "by stored checksum";
  out += "max abs " + FormatNumber(diff.max_abs) + "  max rel " + FormatNumber(diff.max_rel) +
         "  " + std::to_string(diff.differing) + " of " + std::to_string(diff.elements) + " differ";
  if (diff.beyond_tolerance != diff.differing)
    out += ", " + std::to_string(diff.beyond_tolerance) + " beyond tolerance";
  if (diff.non_finite > 0) out += "  " + std::to_string(diff.non_finite) + " not finite";
  return out;
}

// Why a tensor of one file alone is no difference, or may be one after all.
std::string Remark(const TensorDiff& diff) {
  const bool alone = diff.status == TensorStatus::kAdded || diff.status == TensorStatus::kRemoved;
  std::string out = alone ? diff.note : "";
  if (!diff.counts) out += std::string(out.empty() ? "" : "; ") + "does not count";
  return out.empty() ? out : "  (" + out + ")";
}

std::string Pair(const TensorDiff& tensor) {
  std::string name = tensor.name_a.empty() ? tensor.name_b : tensor.name_a;
  if (!tensor.name_b.empty() && tensor.name_b != name) name += " = " + tensor.name_b;
  return EscapeForDisplay(name);
}

// Which tensor was held against which, and how that was found.
std::string MappingToText(const CheckpointDiff& diff) {
  std::string out;
  if (!diff.by_names_alone) out += "matched by " + EscapeForDisplay(diff.mapping) + "\n";
  if (!diff.across) return out;
  TextTable table("    ");
  for (const TensorDiff& tensor : diff.tensors) {
    if (tensor.name_a.empty() || tensor.name_b.empty()) continue;
    const bool plain = tensor.matched_by == MatchedBy::kName && tensor.reordered.empty();
    if (plain) continue;
    table.AddRow({Pair(tensor), "by " + std::string(Name(tensor.matched_by)),
                  EscapeForDisplay(tensor.reordered)});
  }
  return out + table.ToString();
}

}  // namespace

std::string ToText(const Comparison& comparison, const FormOptions& options) {
  const Style& style = options.style;
  const CheckpointDiff& diff = *comparison.diff;
  std::string out = MappingToText(diff);
  TextTable table("");
  for (const TensorDiff& tensor : diff.tensors) {
    if (tensor.status == TensorStatus::kEqual) continue;
    table.AddRow({std::string(1, Mark(tensor.status)) + " " + Pair(tensor),
                  std::string(Name(tensor.role)), Details(tensor) + Remark(tensor)});
  }
  out += table.ToString();
  for (const BatchNormDiff& layer : diff.batch_norms) {
    if (layer.equal_as_function && layer.note.empty()) continue;
    out += "batch norm " + EscapeForDisplay(layer.scope_a.empty() ? layer.scope_b : layer.scope_a) +
           ": ";
    if (!layer.compared) {
      out += EscapeForDisplay(layer.note) + "\n";
      continue;
    }
    out += layer.equal_as_function ? "the same function"
                                   : "scale differs by " + FormatNumber(layer.max_scale_diff) +
                                         ", shift by " + FormatNumber(layer.max_shift_diff);
    out += (layer.note.empty() ? "" : " (" + EscapeForDisplay(layer.note) + ")") + "\n";
  }
  for (const Signature& signature : diff.signatures) {
    out += std::string(style.yellow) + signature.id + std::string(style.reset) + ": " +
           EscapeForDisplay(signature.message) + "\n";
  }
  const bool functions_equal =
      !diff.batch_norms.empty() &&
      std::all_of(diff.batch_norms.begin(), diff.batch_norms.end(),
                  [](const BatchNormDiff& layer) { return layer.equal_as_function; });
  const auto uncounted = std::count_if(diff.tensors.begin(), diff.tensors.end(),
                                       [](const TensorDiff& tensor) { return !tensor.counts; });
  out += std::to_string(diff.equal) + " equal, " + std::to_string(diff.changed) + " changed, " +
         std::to_string(diff.added) + " added, " + std::to_string(diff.removed) + " removed, " +
         std::to_string(diff.retyped) + " retyped, " + std::to_string(diff.reshaped) + " reshaped";
  if (uncounted > 0) out += "; " + std::to_string(uncounted) + " of these do not count";
  if (diff.changed > 0) {
    out += "; largest change in weights " + FormatNumber(diff.weights_max_abs) +
           ", in moving statistics " + FormatNumber(diff.statistics_max_abs);
  }
  if (diff.identical == Identical::kNo && functions_equal)
    out += "; every batch norm computes the same function";
  return out + Verdict(diff) + "\n";
}

}  // namespace ckpt::cli
