// ckpt inspect: what is in a file.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>

#include "cli/command.h"
#include "cli/input_pass.h"
#include "cli/report_json.h"
#include "cli/report_sink.h"
#include "cli/text_table.h"

namespace ckpt::cli {
namespace {

struct Outcome {
  std::string path;
  Result<OpenedInput> opened = Fail(ErrorCode::kInternal, "not opened");
};

Json ToJson(const Outcome& outcome, bool with_tensors) {
  Json json = {{"path", JsonText(outcome.path)}};
  if (!outcome.opened) {
    json["resolved"] = nullptr;
    json["format"] = nullptr;
    json["status"] = "error";
    json["error"] = JsonError(outcome.opened.error());
    if (with_tensors) json["tensors"] = Json::array();
    json["batch_norm"] = Json::array();
    return json;
  }
  const Manifest& manifest = outcome.opened->checkpoint->manifest();
  const Analysis& analysis = outcome.opened->analysis;
  json["resolved"] = JsonText(manifest.resolved);
  json["notes"] = JsonTexts(NotesOf(*outcome.opened->checkpoint));
  json["format"] = outcome.opened->checkpoint->format();
  json["status"] = "ok";
  json["error"] = nullptr;
  json["framework"] = analysis.framework ? Json(Name(*analysis.framework)) : Json(nullptr);
  json["framework_version"] =
      manifest.framework_version.empty() ? Json(nullptr) : JsonText(manifest.framework_version);
  json["metadata"] = Json::object();
  for (const auto& [key, value] : manifest.metadata)
    json["metadata"][JsonText(key).get<std::string>()] = JsonText(value);
  json["problems"] = Json::array();
  for (const Problem& problem : manifest.problems)
    json["problems"].push_back(JsonError(problem.error));
  if (with_tensors) {
    json["tensors"] = Json::array();
    for (std::size_t i = 0; i < manifest.tensors.size(); ++i) {
      json["tensors"].push_back(JsonTensor(manifest.tensors[i], analysis.roles[i]));
    }
  }
  json["batch_norm"] = Json::array();
  for (const BatchNorm& layer : analysis.batch_norms)
    json["batch_norm"].push_back(JsonBatchNorm(layer, manifest));
  return json;
}

std::string Which(const std::optional<TensorId>& id) { return id ? "yes" : "-"; }

std::string BatchNormTable(const OpenedInput& input) {
  TextTable table("  ");
  table.AddRow(
      {"batch norm", "channels", "gamma", "beta", "mean", "variance", "epsilon", "momentum"});
  const auto number = [](const std::optional<SourcedNumber>& value) {
    return value
               ? FormatNumber(value->value) + " (" + std::string(Name(value->evidence.source)) + ")"
               : "unknown";
  };
  for (const BatchNorm& layer : input.analysis.batch_norms) {
    table.AddRow({EscapeForDisplay(layer.scope),
                  layer.channels ? std::to_string(*layer.channels) : "differ", Which(layer.gamma),
                  Which(layer.beta), Which(layer.moving_mean), Which(layer.moving_variance),
                  number(layer.epsilon), number(layer.momentum)});
  }
  return table.ToString();
}

std::string TensorTable(const OpenedInput& input) {
  const Manifest& manifest = input.checkpoint->manifest();
  TextTable table("  ");
  table.AddRow({"tensor", "dtype", "shape", "role", "trainable"});
  for (std::size_t i = 0; i < manifest.tensors.size(); ++i) {
    const TensorInfo& info = manifest.tensors[i];
    const TensorRole& role = input.analysis.roles[i];
    std::string trainable = !role.trainable ? "?" : *role.trainable ? "yes" : "no";
    table.AddRow({EscapeForDisplay(info.name), std::string(Name(info.dtype)), ToString(info.shape),
                  std::string(Name(role.role)), std::move(trainable)});
  }
  return table.ToString();
}

std::string RoleSummary(const OpenedInput& input) {
  const Manifest& manifest = input.checkpoint->manifest();
  std::array<std::pair<std::uint64_t, std::uint64_t>, static_cast<std::size_t>(Role::kOther) + 1>
      totals{};
  for (std::size_t i = 0; i < manifest.tensors.size(); ++i) {
    auto& [count, bytes] = totals[static_cast<std::size_t>(input.analysis.roles[i].role)];
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

std::string ToText(const Outcome& outcome, const Style& style) {
  std::string out =
      std::string(style.bold) + EscapeForDisplay(outcome.path) + std::string(style.reset);
  if (!outcome.opened)
    return out + ": " + std::string(style.red) + "error" + std::string(style.reset) + "\n";
  const Manifest& manifest = outcome.opened->checkpoint->manifest();
  std::uint64_t bytes = 0;
  for (const TensorInfo& info : manifest.tensors) bytes += info.byte_size;
  out += ": " + std::string(outcome.opened->checkpoint->format()) + ", " +
         Plural(manifest.tensors.size(), "tensor") + ", " + FormatBytes(bytes) + ", " +
         Plural(outcome.opened->analysis.batch_norms.size(), "batch norm") + "\n";
  if (manifest.resolved != outcome.path)
    out += "  resolved to " + EscapeForDisplay(manifest.resolved) + "\n";
  for (const std::string& note : NotesOf(*outcome.opened->checkpoint)) {
    out += "  " + EscapeForDisplay(note) + "\n";
  }
  if (const auto framework = outcome.opened->analysis.framework) {
    out += "  framework " + std::string(Name(*framework));
    if (!manifest.framework_version.empty())
      out += " " + EscapeForDisplay(manifest.framework_version);
    out += "\n";
  }
  for (const auto& [key, value] : manifest.metadata) {
    std::string shown = EscapeForDisplay(value);
    if (shown.size() > 120) shown = shown.substr(0, 117) + "...";
    out += "  " + EscapeForDisplay(key) + ": " + shown + "\n";
  }
  for (const Problem& problem : manifest.problems)
    out += "  problem: " + Describe(problem.error) + "\n";
  if (!manifest.tensors.empty())
    out += "  " + RoleSummary(*outcome.opened) + "\n" + TensorTable(*outcome.opened);
  if (!outcome.opened->analysis.batch_norms.empty()) out += BatchNormTable(*outcome.opened);
  return out;
}

// JSON Lines: an object for the input, then one for each tensor.
std::string ToJsonLines(const Outcome& outcome) {
  const auto tagged = [&](const char* type, const Json& body) {
    Json line = {{"schema", "ckpt.inspect/1"}, {"type", type}};
    line.update(body);
    return Dump(line, false);
  };
  std::string out = tagged("input", ToJson(outcome, false));
  if (!outcome.opened) return out;
  const Manifest& manifest = outcome.opened->checkpoint->manifest();
  for (std::size_t i = 0; i < manifest.tensors.size(); ++i) {
    Json tensor = {{"path", JsonText(outcome.path)}};
    tensor.update(JsonTensor(manifest.tensors[i], outcome.opened->analysis.roles[i]));
    out += tagged("tensor", tensor);
  }
  return out;
}

class Inspect : public Command {
 public:
  void Setup(CLI::App& app) override {
    AddInputOptions(app, options_, &inputs_);
    AddReportOptions(app, options_);
  }

  ExitCode Run() override {
    if (Status status = CheckCommonOptions(options_); !status) return Complain(status.error());
    auto inputs = CollectInputs(options_, inputs_);
    if (!inputs) return Complain(inputs.error());
    auto sink = OpenReport(options_);
    if (!sink) return Complain(sink.error());
    ExitCode worst = ExitCode::kClean;
    if (Status status = Report(*inputs, **sink, worst); !status) return Complain(status.error());
    return worst;
  }

 private:
  Status Report(const std::vector<std::string>& inputs, ReportSink& sink, ExitCode& worst) {
    std::vector<Outcome> outcomes(inputs.size());
    const Style style = StyleFor(options_);
    Json all = Json::array();
    std::uint64_t failed = 0;
    const auto work = [&](std::size_t i) {
      outcomes[i].path = inputs[i];
      outcomes[i].opened = OpenInput(inputs[i], options_);
    };
    const auto emit = [&](std::size_t i) -> Status {
      const Outcome outcome = std::move(outcomes[i]);
      if (!outcome.opened) {
        ++failed;
        worst = std::max(worst, Complain(outcome.opened.error()));
      }
      switch (options_.format) {
        case ReportFormat::kText:
          return sink.Write((i > 0 ? "\n" : "") + ToText(outcome, style));
        case ReportFormat::kJson:
          all.push_back(ToJson(outcome, true));
          return {};
        case ReportFormat::kJsonLines:
          return sink.Write(ToJsonLines(outcome));
      }
      return {};
    };
    CKPT_RETURN_IF_ERROR(ForEachInput(inputs.size(), options_.jobs, work, emit));
    if (options_.format == ReportFormat::kJson) {
      CKPT_RETURN_IF_ERROR(
          sink.Write(Dump({{"schema", "ckpt.inspect/1"}, {"inputs", std::move(all)}}, true)));
    } else if (options_.format == ReportFormat::kJsonLines) {
      CKPT_RETURN_IF_ERROR(sink.Write(Dump({{"schema", "ckpt.inspect/1"},
                                            {"type", "summary"},
                                            {"inputs", inputs.size()},
                                            {"failed", failed}},
                                           false)));
    }
    return sink.Finish();
  }

  CommonOptions options_;
  std::vector<std::string> inputs_;
};

}  // namespace

std::unique_ptr<Command> MakeInspect() { return std::make_unique<Inspect>(); }

}  // namespace ckpt::cli
