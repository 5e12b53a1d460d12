// ckpt explain: the rules, or the text of one.
#include <CLI/CLI.hpp>

#include "ckpt/audit.h"
#include "cli/command.h"
#include "cli/report_json.h"
#include "cli/report_sink.h"
#include "cli/text_table.h"

namespace ckpt::cli {
namespace {

Json ToJson(const Rule& rule) {
  return {{"id", rule.id},
          {"name", rule.name},
          {"severity", Name(rule.severity)},
          {"summary", rule.summary},
          {"stops_conversion", rule.stops_conversion()},
          {"in_conversion", Name(rule.in_conversion)},
          {"text", rule.text}};
}

std::string InWords(InConversion what) {
  switch (what) {
    case InConversion::kStops:
      return ", stops a conversion";
    case InConversion::kCloses:
      return ", closed by a conversion";
    case InConversion::kStaysBehind:
      return ", of what a conversion leaves behind";
    case InConversion::kPasses:
      break;
  }
  return "";
}

class Explain : public Command {
 public:
  void Setup(CLI::App& app) override {
    app.add_option("RULE", rule_, "A rule's id or name, such as BN001");
    AddReportOptions(app, options_);
  }

  ExitCode Run() override {
    std::vector<const Rule*> rules;
    if (rule_.empty()) {
      for (const Rule& rule : Rules()) rules.push_back(&rule);
    } else if (const Rule* rule = FindRule(rule_)) {
      rules.push_back(rule);
    } else {
      return Complain({ErrorCode::kInvalidArgument,
                       "there is no rule \"" + rule_ + "\"; `ckpt explain` lists them"});
    }
    auto sink = OpenReport(options_);
    if (!sink) return Complain(sink.error());
    Status status = (*sink)->Write(Render(rules));
    if (status) status = (*sink)->Finish();
    return status ? ExitCode::kClean : Complain(status.error());
  }

 private:
  std::string Render(const std::vector<const Rule*>& rules) const {
    if (options_.format != ReportFormat::kText) {
      Json list = Json::array();
      std::string lines;
      for (const Rule* rule : rules) {
        list.push_back(ToJson(*rule));
        Json line = {{"schema", "ckpt.explain/1"}, {"type", "rule"}};
        line.update(ToJson(*rule));
        lines += Dump(line, false);
      }
      if (options_.format == ReportFormat::kJsonLines) return lines;
      return Dump({{"schema", "ckpt.explain/1"}, {"rules", std::move(list)}}, true);
    }
    const Style style = StyleFor(options_);
    if (!rule_.empty()) {
      const Rule& rule = *rules.front();
      return std::string(style.bold) + std::string(rule.id) + " " + std::string(rule.name) +
             std::string(style.reset) + " (" + std::string(Name(rule.severity)) +
             InWords(rule.in_conversion) + ")\n" + std::string(rule.summary) + "\n\n" +
             std::string(rule.text);
    }
    TextTable table("");
    for (const Rule* rule : rules) {
      table.AddRow({std::string(rule->id), std::string(Name(rule->severity)),
                    std::string(rule->name), std::string(rule->summary)});
    }
    return table.ToString();
  }

  CommonOptions options_;
  std::string rule_;
};

}  // namespace

std::unique_ptr<Command> MakeExplain() { return std::make_unique<Explain>(); }

}  // namespace ckpt::cli
