// GR003, GR004: what the savers of the graph save, and what a restore would ask for.
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

class SavingJudge {
 public:
  SavingJudge(const Subject& subject, const GraphFacts& facts, FindingList& findings)
      : subject_(subject), facts_(facts), findings_(findings) {}

  void Judge() {
    JudgeSavers();
    JudgeRestores();
  }

 private:
  const Manifest& manifest() const { return subject_.manifest(); }

  void Add(RuleIndex rule, Severity severity, const std::vector<std::string>& variables,
           std::string message) {
    findings_.Add(FileIssue{rule, severity, {}, {}, std::move(message), variables});
  }

  // GR003. Statistics that BN001 misses in the file are told there, with this as the proof.
  void JudgeSavers() {
    SaverGap gap = GapOfSavers(facts_);
    if (gap.saver == nullptr) return;
    std::set<std::string> told;
    for (std::size_t i = 0; i < facts_.found.norms.size(); ++i) {
      const std::optional<std::size_t> layer = facts_.layer_of[i];
      if (!layer || !LacksStatistics(subject_.layers()[*layer])) continue;
      told.insert({facts_.found.norms[i].moving_mean, facts_.found.norms[i].moving_variance});
    }
    std::erase_if(gap.missing, [&](const std::string& name) { return told.contains(name); });
    if (!gap.missing.empty()) ReportSaver(gap);
  }

  void ReportSaver(const SaverGap& gap) {
    const bool all_in_file = std::all_of(
        gap.missing.begin(), gap.missing.end(),
        [&](const auto& name) { return TensorOfVariable(manifest(), facts_, name).has_value(); });
    const bool in_file = !manifest().tensors.empty() && all_in_file && FromCheckpoint();
    std::string message = ToldGap(facts_, gap);
    message += in_file ? ". They are in this file, so another saver wrote it"
                       : ". A program that restores its checkpoints runs on mean 0 and variance 1, "
                         "or fails";
    Add(RuleIndex::kSaverWithoutStatistics, in_file ? Severity::kInfo : Severity::kError,
        gap.missing, std::move(message));
  }

  // The tensors are a checkpoint's own, not a list that was made from the graph.
  bool FromCheckpoint() const {
    return std::any_of(manifest().tensors.begin(), manifest().tensors.end(),
                       [](const TensorInfo& info) { return info.data_present; });
  }

  // GR004.
  void JudgeRestores() {
    if (manifest().tensors.empty()) return;
    std::vector<std::string> best;
    bool judged = false;
    for (const OpSaverContents& restore : facts_.restores) {
      const bool of_saver =
          restore.scope.find("traced_restore") != std::string::npos ||
          std::any_of(facts_.savers.begin(), facts_.savers.end(),
                      [&](const OpSaverContents& saver) { return saver.scope == restore.scope; });
      if (!of_saver || !restore.complete || restore.keys.empty()) continue;
      std::vector<std::string> missing;
      for (const std::string& key : restore.keys) {
        if (!key.starts_with("_CHECKPOINTABLE") && !FindTensor(manifest(), key)) {
          missing.push_back(key);
        }
      }
      if (missing.size() == restore.keys.size()) continue;  // other names altogether
      if (!judged || missing.size() < best.size()) best = std::move(missing);
      judged = true;
    }
    std::set<std::string> needed(best.begin(), best.end());
    if (judged && !best.empty()) {
      const bool serving = std::any_of(best.begin(), best.end(), [&](const std::string& key) {
        const OpVariable* record = facts_.variables.Find(key);
        return NeededForServing(key) || (record != nullptr && record->in_trainable_variables);
      });
      Add(RuleIndex::kRestoreFails, serving ? Severity::kError : Severity::kInfo, best,
          ByGraph(facts_) + "a restore asks for " + Plural(best.size(), "tensor") +
              " that the checkpoint lacks: " + Listed(best, kNamed) +
              (serving ? "" : ". Serving does not read them"));
    }
    JudgePathVariables(needed);
  }

  bool NeededForServing(const std::string& name) const {
    return std::any_of(facts_.found.norms.begin(), facts_.found.norms.end(),
                       [&](const OpBatchNorm& norm) {
                         return name == norm.moving_mean || name == norm.moving_variance ||
                                name == norm.gamma.variable || name == norm.beta.variable;
                       });
  }

  // Variables on the path from the signature that nothing in the checkpoint initialises.
  void JudgePathVariables(const std::set<std::string>& told) {
    if (!facts_.serves || !facts_.serving.from_signature) return;
    std::vector<std::string> missing;
    for (const std::string& name : facts_.serving.variables) {
      const OpVariable* record = facts_.variables.Find(name);
      const bool global = record != nullptr && (record->in_variables || record->from_object_graph);
      if (!global || told.count(name) != 0) continue;
      if (!TensorOfVariable(manifest(), facts_, name)) missing.push_back(name);
    }
    if (missing.empty()) return;
    Add(RuleIndex::kRestoreFails, Severity::kError, missing,
        ByGraph(facts_) + "the serving path reads " + Plural(missing.size(), "variable") +
            " that the checkpoint lacks: " + Listed(missing, kNamed));
  }

  const Subject& subject_;
  const GraphFacts& facts_;
  FindingList& findings_;
};

}  // namespace

void JudgeGraphSaving(const Subject& subject, FindingList& findings) {
  if (subject.graph != nullptr) SavingJudge(subject, *subject.graph, findings).Judge();
}

}  // namespace ckpt::audit
