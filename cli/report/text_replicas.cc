#include <algorithm>

#include "cli/report/text_pieces.h"
#include "cli/report/text_table.h"

namespace ckpt::cli {
namespace {

std::string Count(std::uint64_t count) { return count == 0 ? "-" : std::to_string(count); }

std::string ReplicaTable(const ReplicaComparison& all, const FormOptions& options) {
  TextTable table("  ");
  table.AddRow({"unlike most", "weights", "statistics", "others", "group"});
  const std::size_t listed = std::min(options.MostLines(), all.paths.size());
  for (std::size_t i = 0; i < listed; ++i) {
    const Replica& replica = all.report.replicas[i];
    table.AddRow({EscapeForDisplay(all.paths[i]), Count(replica.weights), Count(replica.statistics),
                  Count(replica.others), std::to_string(replica.group + 1)});
  }
  return table.ToString() + More(listed, all.paths.size(), "checkpoint");
}

std::string NormTable(const ReplicaComparison& all, const FormOptions& options) {
  const std::vector<ReplicaNorm>& norms = all.report.norms;
  if (norms.empty()) return {};
  TextTable table("  ");
  table.AddRow({"batch norm", "mean shift", "variance ratio", "farthest"});
  const std::size_t listed = std::min(options.MostLines(), norms.size());
  for (std::size_t i = 0; i < listed; ++i) {
    const ReplicaNorm& norm = norms[i];
    if (!norm.farthest) {
      table.AddRow({EscapeForDisplay(norm.scope), "-", "-", "-"});
      continue;
    }
    const ReplicaNorm::Distance& distance = norm.replicas[*norm.farthest];
    table.AddRow({EscapeForDisplay(norm.scope), ThreeDigits(distance.mean_shift),
                  ThreeDigits(distance.variance_ratio),
                  EscapeForDisplay(all.paths[*norm.farthest])});
  }
  return "  from the median of all, in its deviations, the farthest one:\n" + table.ToString() +
         More(listed, norms.size(), "batch norm");
}

}  // namespace

std::string ToText(const ReplicaComparison& all, const FormOptions& options) {
  const ReplicaReport& report = all.report;
  std::string out = Plural(all.paths.size(), "checkpoint");
  if (all.unreadable > 0) out += " (" + std::to_string(all.unreadable) + " more unreadable)";
  if (report.groups <= 1) {
    return out + ": " + Painted("all hold the same", options.style.green, options.style) + "\n";
  }
  out += ": " + std::to_string(report.groups) +
         " different ones; not the same in all: " + Plural(report.weights, "weight") + ", " +
         Plural(report.statistics, "moving statistic") + ", " + std::to_string(report.others) +
         " others\n";
  return out + ReplicaTable(all, options) + NormTable(all, options);
}

}  // namespace ckpt::cli
