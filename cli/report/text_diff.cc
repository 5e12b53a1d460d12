#include <algorithm>
#include <deque>
#include <iterator>
#include <limits>
#include <map>

#include "cli/report/advice.h"
#include "cli/report/collapsed_names.h"
#include "cli/report/text_pieces.h"
#include "cli/report/text_table.h"

namespace ckpt::cli {
namespace {

// What the comparison comes to, and what it rests on.
std::string VerdictOf(const CheckpointDiff& diff) {
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

// How far the values are apart; where none are finite in both there is no distance.
std::string Distances(const TensorDiff& diff) {
  const bool any = diff.non_finite < diff.elements;
  const auto number = [&](double value) { return any ? FormatNumber(value) : std::string("-"); };
  std::string out = "max abs " + number(diff.max_abs) + "  max rel " + number(diff.max_rel) +
                    "  rel norm " + number(diff.relative_norm) + "  " +
                    std::to_string(diff.differing) + " of " + std::to_string(diff.elements) +
                    " differ";
  if (diff.beyond_tolerance != diff.differing)
    out += ", " + std::to_string(diff.beyond_tolerance) + " beyond tolerance";
  return out;
}

// ": all NaN in B", "; 5 not finite (2 NaN in A, 3 NaN in B)".
std::string NotFinite(const TensorDiff& diff) {
  if (diff.non_finite == 0) return {};
  if (diff.nan_b == diff.elements && diff.nan_a == 0) return ": all NaN in B";
  if (diff.nan_a == diff.elements && diff.nan_b == 0) return ": all NaN in A";
  std::string out = "; " + std::to_string(diff.non_finite) + " not finite";
  std::string nan;
  if (diff.nan_a > 0) nan = std::to_string(diff.nan_a) + " NaN in A";
  if (diff.nan_b > 0) nan += (nan.empty() ? "" : ", ") + std::to_string(diff.nan_b) + " NaN in B";
  return nan.empty() ? out : out + " (" + nan + ")";
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
  return out + Distances(diff) + NotFinite(diff);
}

// Why a tensor of one file alone is no difference, or may be one after all.
std::string RemarkOn(const TensorDiff& diff) {
  const bool alone = diff.status == TensorStatus::kAdded || diff.status == TensorStatus::kRemoved;
  std::string out = alone ? diff.note : "";
  if (!diff.counts) out += std::string(out.empty() ? "" : "; ") + "not counted as a difference";
  return out.empty() ? out : "  (" + out + ")";
}

std::string Pair(const TensorDiff& tensor) {
  std::string name = tensor.name_a.empty() ? tensor.name_b : tensor.name_a;
  if (!tensor.name_b.empty() && tensor.name_b != name) name += " = " + tensor.name_b;
  return EscapeForDisplay(name);
}

// Which tensor was held against which, and how that was found.
std::string MappingToText(const CheckpointDiff& diff, const FormOptions& options) {
  std::string out;
  if (!diff.by_names_alone) out += "matched by " + EscapeForDisplay(diff.mapping) + "\n";
  if (!diff.across) return out;
  TextTable table("    ");
  std::size_t listed = 0, all = 0;
  for (const TensorDiff& tensor : diff.tensors) {
    if (tensor.name_a.empty() || tensor.name_b.empty()) continue;
    const bool plain = tensor.matched_by == MatchedBy::kName && tensor.reordered.empty();
    if (plain || ++all > options.MostLines()) continue;
    table.AddRow({Pair(tensor), "by " + std::string(Name(tensor.matched_by)),
                  EscapeForDisplay(tensor.reordered)});
    ++listed;
  }
  return out + table.ToString() + More(listed, all, "pair");
}

// What a tensor is put in order by. Values that are not finite on one side are the largest change
// there is; tensors that are not compared come behind all that are.
double KeyOf(const TensorDiff& tensor, DiffOrder order) {
  if (tensor.by != ComparedBy::kBytes) return -1;
  const bool lost = tensor.nan_a != tensor.nan_b;
  if (lost && order != DiffOrder::kDiffering) return std::numeric_limits<double>::infinity();
  switch (order) {
    case DiffOrder::kMaxAbs:
      return tensor.max_abs;
    case DiffOrder::kMaxRel:
      return tensor.max_rel;
    case DiffOrder::kNorm:
      return tensor.relative_norm;
    case DiffOrder::kDiffering:
      return tensor.elements == 0
                 ? 0
                 : static_cast<double>(tensor.differing) / static_cast<double>(tensor.elements);
    case DiffOrder::kName:
      break;
  }
  return 0;
}

std::vector<const TensorDiff*> Listed(const Comparison& comparison) {
  std::vector<const TensorDiff*> listed;
  for (const TensorDiff& tensor : comparison.diff->tensors) {
    if (tensor.status != TensorStatus::kEqual) listed.push_back(&tensor);
  }
  if (comparison.order == DiffOrder::kName) return listed;
  std::stable_sort(listed.begin(), listed.end(), [&](const TensorDiff* a, const TensorDiff* b) {
    return KeyOf(*a, comparison.order) > KeyOf(*b, comparison.order);
  });
  return listed;
}

// In long lists tensors of repeated layers that are on one side alone are one line.
std::vector<CollapsedName> LinesOf(const std::vector<const TensorDiff*>& tensors, bool collapses) {
  std::deque<std::string> kinds;
  std::vector<NamedThing> things;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const TensorDiff& tensor = *tensors[i];
    const bool alone =
        tensor.status == TensorStatus::kAdded || tensor.status == TensorStatus::kRemoved;
    kinds.push_back(std::string(1, Mark(tensor.status)) + std::string(Name(tensor.role)) +
                    (alone ? Details(tensor) + RemarkOn(tensor) : std::to_string(i)));
    things.push_back({tensor.name_a.empty() ? tensor.name_b : tensor.name_a, kinds.back()});
  }
  if (collapses) return CollapseNames(things);
  std::vector<CollapsedName> lines;
  for (std::size_t i = 0; i < tensors.size(); ++i) lines.push_back({Pair(*tensors[i]), {i}});
  return lines;
}

std::string TensorsToText(const Comparison& comparison, const FormOptions& options) {
  const std::vector<const TensorDiff*> tensors = Listed(comparison);
  const bool collapses = tensors.size() > kMostNamesInFull && !options.full && !comparison.most;
  std::size_t left = comparison.most.value_or(options.MostLines()), listed = 0;
  TextTable table("");
  for (const auto& [name, members] : LinesOf(tensors, collapses)) {
    if (left-- == 0) break;
    listed += members.size();
    const TensorDiff& tensor = *tensors[members.front()];
    const std::string shown = members.size() == 1 ? Pair(tensor) : name;
    const std::string count =
        members.size() == 1 ? "" : ", " + std::to_string(members.size()) + " of them";
    table.AddRow({std::string(1, Mark(tensor.status)) + " " + shown, std::string(Name(tensor.role)),
                  Details(tensor) + count + RemarkOn(tensor)});
  }
  return table.ToString() + More(listed, tensors.size(), "tensor");
}

// What is said of a batch norm; empty for one that is equal without a reason to give.
std::string InWords(const BatchNormDiff& layer) {
  if (layer.equal_as_function && layer.note.empty()) return {};
  const std::string note = WithAdvice(layer.note, layer.remedy);
  if (!layer.compared) return EscapeForDisplay(note);
  const std::string out = layer.equal_as_function
                              ? "the same function"
                              : "scale differs by " + FormatNumber(layer.max_scale_diff) +
                                    ", shift by " + FormatNumber(layer.max_shift_diff);
  return note.empty() ? out : out + " (" + EscapeForDisplay(note) + ")";
}

// Layers that one file alone has are one line each time that the same is said of them.
std::vector<CollapsedName> LinesOfAbsent(const std::vector<NamedThing>& things,
                                         const std::vector<bool>& absent) {
  constexpr std::size_t kFewNamed = 3;
  std::map<std::string_view, std::vector<std::size_t>> by_words;
  for (std::size_t i = 0; i < things.size(); ++i)
    if (absent[i]) by_words[things[i].kind].push_back(i);
  std::vector<CollapsedName> lines;
  for (auto& [words, members] : by_words) {
    std::string names;
    for (std::size_t i = 0; i < std::min(kFewNamed, members.size()); ++i)
      names += (i == 0 ? "" : ", ") + EscapeForDisplay(things[members[i]].name);
    if (members.size() > kFewNamed)
      names += " and " + std::to_string(members.size() - kFewNamed) + " more";
    lines.push_back({std::move(names), std::move(members)});
  }
  return lines;
}

// Layers of which the same is said are one line, where there are many.
std::vector<CollapsedName> LinesOf(const std::vector<NamedThing>& things,
                                   const std::vector<bool>& absent, const FormOptions& options) {
  constexpr std::size_t kMostAlone = 20;
  if (things.size() > kMostAlone && !options.full) return CollapseNames(things);
  std::vector<CollapsedName> lines;
  for (std::size_t i = 0; i < things.size(); ++i) {
    if (options.full || !absent[i]) lines.push_back({EscapeForDisplay(things[i].name), {i}});
  }
  if (options.full) return lines;
  std::vector<CollapsedName> alone = LinesOfAbsent(things, absent);
  std::move(alone.begin(), alone.end(), std::back_inserter(lines));
  return lines;
}

std::string BatchNormsToText(const CheckpointDiff& diff, const FormOptions& options) {
  std::deque<std::string> said;
  std::vector<NamedThing> things;
  std::vector<bool> absent;  // from one of the files
  for (const BatchNormDiff& layer : diff.batch_norms) {
    std::string words = InWords(layer);
    if (words.empty()) continue;
    said.push_back(std::move(words));
    things.push_back({layer.scope_a.empty() ? layer.scope_b : layer.scope_a, said.back()});
    absent.push_back(!layer.compared && (layer.scope_a.empty() || layer.scope_b.empty()));
  }
  const std::vector<CollapsedName> lines = LinesOf(things, absent, options);
  std::string out;
  std::size_t listed = 0;
  for (std::size_t i = 0; i < std::min(options.MostLines(), lines.size()); ++i) {
    const auto& [name, members] = lines[i];
    listed += members.size();
    const std::string count = members.size() == 1 ? "" : std::to_string(members.size()) + " ";
    out += count + (members.size() == 1 ? "batch norm " : "batch norms ") + name + ": " +
           said[members.front()] + "\n";
  }
  return out + More(listed, things.size(), "batch norm");
}

std::string SignaturesToText(const CheckpointDiff& diff, const FormOptions& options) {
  std::string out;
  const std::size_t listed = std::min(options.MostLines(), diff.signatures.size());
  for (std::size_t i = 0; i < listed; ++i) {
    const Signature& signature = diff.signatures[i];
    out += Painted(signature.id, options.style.yellow, options.style) + ": " +
           EscapeForDisplay(signature.message) + "\n";
  }
  return out + More(listed, diff.signatures.size(), "remark");
}

// "9.18407 (conv/kernel)", "0".
std::string Largest(const CheckpointDiff& diff, double most, const std::optional<std::size_t>& of) {
  return FormatNumber(most) + (of ? " (" + Pair(diff.tensors[*of]) + ")" : "");
}

// The closing line.
std::string Total(const CheckpointDiff& diff) {
  const bool functions_equal =
      !diff.batch_norms.empty() &&
      std::all_of(diff.batch_norms.begin(), diff.batch_norms.end(),
                  [](const BatchNormDiff& layer) { return layer.equal_as_function; });
  const auto count = [&](auto is) {
    return static_cast<std::uint64_t>(std::count_if(diff.tensors.begin(), diff.tensors.end(), is));
  };
  const std::uint64_t uncounted = count([](const TensorDiff& tensor) { return !tensor.counts; });
  const std::uint64_t not_finite =
      count([](const TensorDiff& tensor) { return tensor.non_finite > 0; });
  std::string out = std::to_string(diff.equal) + " equal, " + std::to_string(diff.changed) +
                    " changed, " + std::to_string(diff.added) + " added, " +
                    std::to_string(diff.removed) + " removed, " + std::to_string(diff.retyped) +
                    " retyped, " + std::to_string(diff.reshaped) + " reshaped";
  if (uncounted > 0)
    out += "; " + std::to_string(uncounted) + " of these are not counted as differences";
  if (diff.changed > 0) {
    out += "; largest change in weights " +
           Largest(diff, diff.weights_max_abs, diff.weights_largest) + ", in moving statistics " +
           Largest(diff, diff.statistics_max_abs, diff.statistics_largest);
  }
  if (not_finite > 0) out += "; values that are not finite in " + Plural(not_finite, "tensor");
  if (diff.identical == Identical::kNo && functions_equal)
    out += "; every batch norm computes the same function";
  return out + VerdictOf(diff) + "\n";
}

}  // namespace

std::string ToText(const Comparison& comparison, const FormOptions& options) {
  const CheckpointDiff& diff = *comparison.diff;
  if (comparison.of_several) {
    return EscapeForDisplay(comparison.a) + " and " + EscapeForDisplay(comparison.b) + ": " +
           Total(diff);
  }
  return MappingToText(diff, options) + TensorsToText(comparison, options) +
         BatchNormsToText(diff, options) + SignaturesToText(diff, options) + Total(diff);
}

}  // namespace ckpt::cli
