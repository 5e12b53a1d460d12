#include <array>
#include <optional>
#include <utility>

#include "cli/report/error_text.h"
#include "cli/report/text_pieces.h"
#include "cli/report/text_table.h"

namespace ckpt::cli {
namespace {

constexpr std::size_t kLongestMetadata = 120;

std::string Which(const std::optional<TensorId>& id) { return id ? "yes" : "-"; }

std::string BatchNormTable(const InputReport& input) {
  TextTable table("  ");
  table.AddRow(
      {"batch norm", "channels", "gamma", "beta", "mean", "variance", "epsilon", "momentum"});
  const auto number = [](const std::optional<SourcedNumber>& value) {
    return value
               ? FormatNumber(value->value) + " (" + std::string(Name(value->evidence.source)) + ")"
               : "unknown";
  };
  for (const BatchNorm& layer : input.analysis->batch_norms) {
    table.AddRow({EscapeForDisplay(layer.scope),
                  layer.channels ? std::to_string(*layer.channels) : "differ", Which(layer.gamma),
                  Which(layer.beta), Which(layer.moving_mean), Which(layer.moving_variance),
                  number(layer.epsilon), number(layer.momentum)});
  }
  return table.ToString();
}

std::string TensorTable(const InputReport& input) {
  const Manifest& manifest = *input.manifest;
  TextTable table("  ");
  table.AddRow({"tensor", "dtype", "shape", "role", "trainable"});
  for (std::size_t i = 0; i < manifest.tensors.size(); ++i) {
    const TensorInfo& info = manifest.tensors[i];
    const TensorRole& role = input.analysis->roles[i];
    std::string trainable = !role.trainable ? "?" : *role.trainable ? "yes" : "no";
    table.AddRow({EscapeForDisplay(info.name), std::string(Name(info.dtype)), ToString(info.shape),
                  std::string(Name(role.role)), std::move(trainable)});
  }
  return table.ToString();
}

std::string RoleSummary(const InputReport& input) {
  const Manifest& manifest = *input.manifest;
  std::array<std::pair<std::uint64_t, std::uint64_t>, static_cast<std::size_t>(Role::kOther) + 1>
      totals{};
  for (std::size_t i = 0; i < manifest.tensors.size(); ++i) {
    auto& [count, bytes] = totals[static_cast<std::size_t>(input.analysis->roles[i].role)];
    ++count;
    bytes += manifest.tensors[i].byte_size;
  }
  std::string out;
  for (std::size_t i = 0; i < totals.size(); ++i) {
    if (totals[i].first == 0) continue;
    out += (out.empty() ? "" : ", ") + std::to_string(totals[i].first) + " " +
           std::string(Name(static_cast<Role>(i))) + " (" + FormatBytes(totals[i].second) + ")";
  }
  return out;
}

}  // namespace

std::string ToText(const InspectedInput& inspected, const FormOptions& options) {
  const InputReport& input = inspected.input;
  const Style& style = options.style;
  std::string out = Heading(input, style);
  if (!input.opened()) {
    if (options.errors_told || !input.error) return {};
    return out + ": " + Painted("error", style.red, style) + "\n  " + Describe(*input.error) + "\n";
  }
  const Manifest& manifest = *input.manifest;
  std::uint64_t bytes = 0;
  for (const TensorInfo& info : manifest.tensors) bytes += info.byte_size;
  out += ": " + std::string(input.format) + ", " + Plural(manifest.tensors.size(), "tensor") +
         ", " + FormatBytes(bytes) + ", " +
         Plural(input.analysis->batch_norms.size(), "batch norm") + "\n" + Preamble(input);
  if (const auto framework = input.analysis->framework) {
    out += "  framework " + std::string(Name(*framework));
    if (!manifest.framework_version.empty())
      out += " " + EscapeForDisplay(manifest.framework_version);
    out += "\n";
  }
  for (const auto& [key, value] : manifest.metadata) {
    std::string shown = EscapeForDisplay(value);
    if (shown.size() > kLongestMetadata) shown = shown.substr(0, kLongestMetadata - 3) + "...";
    out += "  " + EscapeForDisplay(key) + ": " + shown + "\n";
  }
  for (const Problem& problem : manifest.problems)
    out += "  problem: " + Describe(problem.error) + "\n";
  if (!manifest.tensors.empty()) out += "  " + RoleSummary(input) + "\n" + TensorTable(input);
  if (!input.analysis->batch_norms.empty()) out += BatchNormTable(input);
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
