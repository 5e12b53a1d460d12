// BN060, GR005, GR006: what runs when the graph serves.
#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "audit/graph_facts.h"
#include "audit/rules.h"
#include "audit/wording.h"

namespace ckpt::audit {
namespace {

class ServingJudge {
 public:
  ServingJudge(const Subject& subject, const GraphFacts& facts, FindingList& findings)
      : subject_(subject), facts_(facts), findings_(findings) {}

  void Judge() {
    if (!facts_.serving.training_norms.empty()) {
      if (facts_.serves) {
        JudgeServing();
      } else {
        JudgeTraining();
      }
    }
    JudgePhases();
  }

 private:
  void Add(RuleIndex rule, Severity severity, const std::vector<std::string>& variables,
           std::string message) {
    findings_.Add(FileIssue{rule, severity, {}, {}, std::move(message), variables});
  }

  std::string NameOf(std::size_t norm) const {
    const OpBatchNorm& found = facts_.found.norms[norm];
    return facts_.bodies.Describe({found.body, found.output});
  }

  // BN060: by layer, and those of which the file has no tensor.
  void JudgeServing() {
    const std::string what = ByGraph(facts_) + "batch norm in training mode on the path to " +
                             Listed(facts_.serving.outputs, 1);
    const std::string consequence =
        "It normalises with the batch that it is given and ignores moving statistics, so that an "
        "answer depends on the requests beside it";
    Issue issue{RuleIndex::kTrainingMode, Severity::kError, what, consequence};
    for (std::size_t i = 0; i < subject_.layers().size(); ++i) {
      std::vector<std::string> names;
      for (const std::size_t norm : TrainingAtServing(facts_, i)) names.push_back(NameOf(norm));
      if (!names.empty())
        issue.layers.push_back({i, TensorsOf(subject_.layers()[i]), Listed(names, kNamed)});
    }
    findings_.Add(std::move(issue));
    std::vector<std::string> others;
    for (const std::size_t norm : facts_.serving.training_norms) {
      if (!facts_.layer_of[norm]) others.push_back(NameOf(norm));
    }
    if (others.empty()) return;
    Add(RuleIndex::kTrainingMode, Severity::kError, {},
        what + ": " + Listed(others, kNamed) + ". " + consequence);
  }

  // GR005.
  void JudgeTraining() {
    const std::vector<std::size_t>& norms = facts_.serving.training_norms;
    std::vector<std::string> variables;
    std::set<std::string> known;
    for (const std::size_t i : norms) {
      const OpBatchNorm& norm = facts_.found.norms[i];
      for (const std::string& name : {norm.moving_mean, norm.moving_variance}) {
        if (!name.empty() && known.insert(name).second) variables.push_back(name);
      }
    }
    Add(RuleIndex::kAlwaysTrains, Severity::kInfo, variables,
        ByGraph(facts_) + Plural(norms.size(), "batch norm") +
            " always run in training mode: this graph trains, and another must serve");
  }

  // GR006.
  void JudgePhases() {
    std::vector<std::string> open, fed_true;
    for (const OpPhase& phase : facts_.serving.phases) {
      if (!phase.default_value) open.push_back(phase.name);
      if (phase.default_value.value_or(false)) fed_true.push_back(phase.name);
    }
    const bool switches = facts_.serving.switched_norms != 0;
    std::vector<std::string> all(open);
    all.insert(all.end(), fed_true.begin(), fed_true.end());
    if (all.empty() || (!switches && !facts_.serving.from_signature)) return;
    if (!facts_.serves) {
      if (!switches) return;
      Add(RuleIndex::kOpenPhase, Severity::kInfo, {},
          ByGraph(facts_) + "the placeholder " + Listed(all, kNamed) + " switches " +
              Plural(facts_.serving.switched_norms, "batch norm") +
              " between training and inference: feed it false at serving");
      return;
    }
    std::string message = ByGraph(facts_);
    if (!open.empty()) {
      message += "no signature feeds the boolean placeholder " + Listed(open, kNamed) +
                 " on the serving path: a request fails, or feeds the training phase by mistake";
    }
    if (!fed_true.empty()) {
      message += (open.empty() ? "" : "; ");
      message += "the placeholder " + Listed(fed_true, kNamed) +
                 " on the serving path is true unless it is fed: it serves in training mode";
    }
    Add(RuleIndex::kOpenPhase, Severity::kError, {}, std::move(message));
  }

  const Subject& subject_;
  const GraphFacts& facts_;
  FindingList& findings_;
};

}  // namespace

void JudgeGraphServing(const Subject& subject, FindingList& findings) {
  if (subject.graph != nullptr) ServingJudge(subject, *subject.graph, findings).Judge();
}

}  // namespace ckpt::audit
