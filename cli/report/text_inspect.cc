#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <utility>

#include "cli/report/collapsed_names.h"
#include "cli/report/error_text.h"
#include "cli/report/text_pieces.h"
#include "cli/report/text_table.h"

namespace ckpt::cli {
namespace {

constexpr std::size_t kLongestMetadata = 120;

using Row = std::vector<std::string>;

void Append(Row& row, Row more) {
  for (std::string& cell : more) row.push_back(std::move(cell));
}

std::string Which(const std::optional<TensorId>& id) { return id ? "yes" : "-"; }

std::string Sourced(const std::optional<SourcedNumber>& value) {
  if (!value) return "unknown";
  return FormatNumber(value->value) + " (" + std::string(Name(value->evidence.source)) + ")";
}

Row CellsOf(const BatchNorm& layer) {
  return {layer.channels ? std::to_string(*layer.channels) : "differ",
          Which(layer.gamma),
          Which(layer.beta),
          Which(layer.moving_mean),
          Which(layer.moving_variance),
          Sourced(layer.epsilon),
          Sourced(layer.momentum)};
}

Row CellsOf(const TensorInfo& info, const TensorRole& role) {
  const char* trainable = !role.trainable ? "?" : *role.trainable ? "yes" : "no";
  return {std::string(Name(info.dtype)), ToString(info.shape), std::string(Name(role.role)),
          trainable};
}

Row CellsOf(const std::optional<TensorStatistics>& found) {
  if (!found) return {"-", "-", "-", "-"};
  Row row;
  for (const double value : {found->min, found->mean, found->max, found->deviation()})
    row.push_back(found->finite > 0 ? FormatNumber(value) : "-");
  std::string others;
  if (found->nan > 0) others = std::to_string(found->nan) + " NaN";
  if (found->infinite > 0)
    others += (others.empty() ? "" : ", ") + std::to_string(found->infinite) + " infinite";
  if (!others.empty()) row.push_back(others);
  return row;
}

// Rows of things with names; in long lists those that differ in the numbers of their names alone
// are one row.
class Listing {
 public:
  Listing(std::string_view what, const FormOptions& options) : what_(what), options_(options) {}
  void Add(std::string_view name, Row cells) {
    std::string kind;
    for (const std::string& cell : cells) kind.append(cell).append(1, '\0');
    const auto row = rows_.try_emplace(std::move(kind), std::move(cells)).first;
    things_.push_back({name, row->first});
    cells_.push_back(&row->second);
  }
  // `more`: cells behind those of the first of a row, from the indices of all.
  template <typename MoreCells>
  std::string ToText(Row titles, const MoreCells& more) const {
    const bool collapses = things_.size() > kMostNamesInFull && !options_.full;
    std::vector<CollapsedName> lines;
    if (collapses) {
      lines = CollapseNames(things_);
    } else {
      for (std::size_t i = 0; i < things_.size(); ++i)
        lines.push_back({EscapeForDisplay(things_[i].name), {i}});
    }
    TextTable table("  ");
    Row head = {std::string(what_)};
    if (collapses) head.push_back("count");
    Append(head, std::move(titles));
    table.AddRow(std::move(head));
    std::size_t listed = 0;
    for (std::size_t i = 0; i < std::min(lines.size(), options_.MostLines()); ++i) {
      auto& [name, members] = lines[i];
      listed += members.size();
      Row row = {std::move(name)};
      if (collapses) row.push_back(std::to_string(members.size()));
      Append(row, *cells_[members.front()]);
      Append(row, more(members));
      table.AddRow(std::move(row));
    }
    return table.ToString() + More(listed, things_.size(), std::string(what_).c_str());
  }

 private:
  std::string_view what_;
  const FormOptions& options_;
  std::map<std::string, Row> rows_;  // the different ones, by their cells
  std::vector<NamedThing> things_;
  std::vector<const Row*> cells_;
};

std::string BatchNormTable(const InspectedInput& inspected, const FormOptions& options) {
  Listing listing("batch norm", options);
  for (const std::size_t i : inspected.batch_norms) {
    const BatchNorm& layer = inspected.input.analysis->batch_norms[i];
    listing.Add(layer.scope, CellsOf(layer));
  }
  return listing.ToText({"channels", "gamma", "beta", "mean", "variance", "epsilon", "momentum"},
                        [](const auto&) { return Row{}; });
}

std::string TensorTable(const InspectedInput& inspected, const FormOptions& options) {
  const InputReport& input = inspected.input;
  Listing listing("tensor", options);
  bool unknown = false;
  for (const std::size_t i : inspected.tensors) {
    const TensorRole& role = input.analysis->roles[i];
    unknown = unknown || !role.trainable;
    listing.Add(input.manifest->tensors[i].name, CellsOf(input.manifest->tensors[i], role));
  }
  Row titles = {"dtype", "shape", "role", "trainable"};
  const bool measured = !inspected.statistics.empty();
  if (measured) Append(titles, {"min", "mean", "max", "std"});
  const auto statistics = [&](const std::vector<std::size_t>& members) {
    if (!measured) return Row{};
    std::optional<TensorStatistics> all;
    for (const std::size_t i : members) {
      const auto& one = inspected.statistics[i];
      if (one && all) all->Add(*one);
      if (one && !all) all = one;
    }
    return CellsOf(all);
  };
  const std::string table = listing.ToText(std::move(titles), statistics);
  return unknown ? table + "  trainable ?: the file has no optimizer or graph that says\n" : table;
}

std::string RoleSummary(const InspectedInput& inspected) {
  const InputReport& input = inspected.input;
  std::array<std::pair<std::uint64_t, std::uint64_t>, static_cast<std::size_t>(Role::kOther) + 1>
      totals{};
  for (const std::size_t i : inspected.tensors) {
    auto& [count, bytes] = totals[static_cast<std::size_t>(input.analysis->roles[i].role)];
    ++count;
    bytes += input.manifest->tensors[i].byte_size;
  }
  std::string out;
  for (std::size_t i = 0; i < totals.size(); ++i) {
    if (totals[i].first == 0) continue;
    out += (out.empty() ? "" : ", ") + std::to_string(totals[i].first) + " " +
           std::string(Name(static_cast<Role>(i))) + " (" + FormatBytes(totals[i].second) + ")";
  }
  return out;
}

// "float32 (22), int64 (4)", the commonest first.
std::string Counted(const std::map<std::string, std::size_t>& counts, const FormOptions& options) {
  std::vector<std::pair<std::string, std::size_t>> sorted(counts.begin(), counts.end());
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  std::string out;
  const std::size_t listed = options.full ? sorted.size() : std::min<std::size_t>(sorted.size(), 8);
  for (std::size_t i = 0; i < listed; ++i)
    out += (i == 0 ? "" : ", ") + sorted[i].first + " (" + std::to_string(sorted[i].second) + ")";
  return listed < sorted.size() ? out + ", " + std::to_string(sorted.size() - listed) + " others"
                                : out;
}

// What --summary has in place of the lists.
std::string Totals(const InspectedInput& inspected, const FormOptions& options) {
  std::map<std::string, std::size_t> types, epsilons, momenta;
  for (const std::size_t i : inspected.tensors)
    ++types[std::string(Name(inspected.input.manifest->tensors[i].dtype))];
  std::size_t without = 0;
  for (const std::size_t i : inspected.batch_norms) {
    const BatchNorm& layer = inspected.input.analysis->batch_norms[i];
    without += layer.moving_mean && layer.moving_variance ? 0 : 1;
    ++epsilons[Sourced(layer.epsilon)];
    ++momenta[Sourced(layer.momentum)];
  }
  std::string out = "  types: " + Counted(types, options) + "\n";
  if (inspected.batch_norms.empty()) return out;
  if (without > 0) out += "  " + Plural(without, "batch norm") + " without both statistics\n";
  return out + "  epsilon: " + Counted(epsilons, options) +
         "\n  momentum: " + Counted(momenta, options) + "\n";
}

std::string MetadataToText(const Manifest& manifest, const FormOptions& options) {
  std::string out;
  std::size_t listed = 0;
  for (const auto& [key, value] : manifest.metadata) {
    if (++listed > options.MostLines()) break;
    std::string shown = EscapeForDisplay(value);
    if (shown.size() > kLongestMetadata && !options.full)
      shown = shown.substr(0, kLongestMetadata - 3) + "...";
    out += "  " + EscapeForDisplay(key) + ": " + shown + "\n";
  }
  out += More(std::min(listed, options.MostLines()), manifest.metadata.size(), "entry of metadata");
  const std::size_t problems = std::min(options.MostLines(), manifest.problems.size());
  for (std::size_t i = 0; i < problems; ++i)
    out += "  problem: " + Describe(manifest.problems[i].error) + "\n";
  return out + More(problems, manifest.problems.size(), "problem");
}

std::string Head(const InspectedInput& inspected) {
  const Manifest& manifest = *inspected.input.manifest;
  std::uint64_t bytes = 0;
  for (const TensorInfo& info : manifest.tensors) bytes += info.byte_size;
  std::string out = ": " + std::string(inspected.input.format) + ", " +
                    Plural(manifest.tensors.size(), "tensor") + ", " + FormatBytes(bytes) + ", " +
                    Plural(inspected.input.analysis->batch_norms.size(), "batch norm") + "\n" +
                    Preamble(inspected.input);
  if (const auto framework = inspected.input.analysis->framework) {
    out += "  framework " + std::string(Name(*framework));
    if (!manifest.framework_version.empty())
      out += " " + EscapeForDisplay(manifest.framework_version);
    out += "\n";
  }
  return out;
}

}  // namespace

std::string ToText(const InspectedInput& inspected, const FormOptions& options) {
  const InputReport& input = inspected.input;
  std::string out = Heading(input, options.style), error;
  if (input.error && !options.errors_told) error = "  " + Describe(*input.error) + "\n";
  if (!input.opened()) {
    if (options.errors_told) return {};
    return out + ": " + Painted("error", options.style.red, options.style) + "\n" + error;
  }
  const std::size_t tensors = input.manifest->tensors.size();
  out += Head(inspected) + error + MetadataToText(*input.manifest, options);
  if (inspected.tensors.size() < tensors)
    out += "  " + std::to_string(inspected.tensors.size()) + " of these match --only\n";
  if (!inspected.tensors.empty()) out += "  " + RoleSummary(inspected) + "\n";
  if (inspected.summary_only) return out + Totals(inspected, options);
  if (!inspected.tensors.empty()) out += TensorTable(inspected, options);
  if (!inspected.batch_norms.empty()) out += BatchNormTable(inspected, options);
  return out;
}

std::string ToText(const InspectSummary& summary, const FormOptions& options) {
  std::string out;
  if (summary.failed > 0) {
    const std::uint64_t read = summary.inputs - summary.failed;
    out = Plural(summary.inputs, "file") + ": ";
    if (read > 0) out += std::to_string(read) + " read, ";
    out += std::to_string(summary.failed) + " unreadable\n";
  }
  return out + ToText(summary.not_read, options);
}

}  // namespace ckpt::cli
