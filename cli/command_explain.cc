// ckpt explain: the rules, or the text of one.

#include "ckpt/audit.h"
#include "cli/command.h"
#include "cli/nearest.h"
#include "cli/reporter.h"

namespace ckpt::cli {
namespace {

class Explain : public Command {
 public:
  void Setup(Arguments& app) override {
    app.add_option("RULE", rule_, "A rule's id or name, such as BN001");
    AddReportOptions(app, CommandId::kExplain, options_);
  }

  ExitCode Run() override {
    RuleList list{{}, !rule_.empty()};
    if (rule_.empty()) {
      for (const Rule& rule : Rules()) list.rules.push_back(&rule);
    } else if (const Rule* rule = FindRule(rule_)) {
      list.rules.push_back(rule);
    } else {
      return Complain({ErrorCode::kInvalidArgument, NoSuchRule(rule_)});
    }
    auto reporter = OpenReporter(options_);
    if (!reporter) return Complain(reporter.error());
    Status status = reporter->Add(list);
    if (status) status = reporter->Finish();
    return status ? ExitCode::kClean : Complain(status.error());
  }

 private:
  CommonOptions options_;
  std::string rule_;
};

}  // namespace

std::unique_ptr<Command> MakeExplain() { return std::make_unique<Explain>(); }

}  // namespace ckpt::cli
