#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "audit/graph_facts.h"
#include "audit/rules.h"
#include "audit/update_count.h"
#include "audit/wording.h"

namespace ckpt::audit {
namespace {

constexpr std::size_t kNamed = 3;

// What the values of a moving statistic say.
enum class Moved : std::uint8_t { kAbsent, kInitial, kMoved };

// The scope of a variable: all but its last component.
std::string ScopeOf(const std::string& variable) {
  const std::size_t slash = variable.rfind('/');
  return slash == std::string::npos ? variable : variable.substr(0, slash);
}

std::vector<std::string> Scopes(const std::vector<std::string>& variables) {
  std::vector<std::string> scopes;
  for (const std::string& variable : variables) {
    std::string scope = ScopeOf(variable);
    if (std::find(scopes.begin(), scopes.end(), scope) == scopes.end()) {
      scopes.push_back(std::move(scope));
    }
  }
  return scopes;
}

class GraphJudge {
 public:
  GraphJudge(const Subject& subject, const GraphFacts& facts, FindingList& findings)
      : subject_(subject), facts_(facts), findings_(findings) {
    for (std::size_t i = 0; i < subject_.layers().size(); ++i) {
      const BatchNorm& layer = subject_.layers()[i];
      const LayerValues& values = subject_.values[i];
      const auto add = [&](const std::optional<TensorId>& id,
                           const std::optional<std::vector<double>>& vector, double initial) {
        if (!id || !vector) return;
        values_.emplace(*id, AllEqual(*vector, initial) ? Moved::kInitial : Moved::kMoved);
      };
      add(layer.moving_mean, values.mean, 0);
      add(layer.moving_variance, values.spread, 1);
    }
  }

  void Judge() {
    JudgeUpdates();
    JudgeFetch();
    JudgeTowers();
    JudgeSavers();
    JudgeRestores();
    JudgeTrainingMode();
    JudgePhases();
  }

 private:
  const Manifest& manifest() const { return subject_.manifest(); }
  const std::string& source() const { return manifest().ops->source; }

  std::string Step() const {
    const std::optional<double> step = StepOf(subject_);
    return step ? " at step " + Number(*step) : "";
  }

  Moved ValuesOf(const std::string& variable) const {
    const auto id = TensorOfVariable(manifest(), facts_, variable);
    if (!id) return Moved::kAbsent;
    const auto found = values_.find(*id);
    if (found != values_.end()) return found->second;
    return Moved::kAbsent;
  }

  void Add(RuleIndex rule, Severity severity, const std::vector<std::string>& variables,
           std::string message) {
    FileIssue issue{rule, severity, {}, {}, std::move(message), variables};
    findings_.Add(std::move(issue));
  }

  std::string Roots() const {
    std::string text =
        facts_.reach.roots.size() == 1 ? "the train operation " : "the train operations ";
    text += Listed(facts_.reach.roots, kNamed);
    return text + (facts_.reach.roots_recorded ? "" : " (by its form: no collection train_op)");
  }

  // GR001, GR002: by the values that are left out, initial or absent ones apart from moved ones.
  void JudgeUpdates() {
    const bool no_op = facts_.reach.verdict == UpdateVerdict::kNoUpdateOp;
    const std::vector<std::string>& left = facts_.left_out;
    if (left.empty()) {
      if (no_op) AddUntouched();
      return;
    }
    std::vector<std::string> initial, absent, moved;
    for (const std::string& variable : left) {
      const Moved values = ValuesOf(variable);
      (values == Moved::kMoved     ? moved
       : values == Moved::kInitial ? initial
                                   : absent)
          .push_back(variable);
    }
    const RuleIndex rule = no_op ? RuleIndex::kNoUpdateOp : RuleIndex::kUpdatesOutsideTrainOp;
    const auto add = [&](Severity severity, const std::vector<std::string>& variables,
                         const std::string& values) {
      if (!variables.empty()) Add(rule, severity, variables, Told(variables, no_op) + values);
    };
    add(Severity::kError, initial,
        ". The values agree: they are still initial (mean 0, variance 1)" + Step() +
            ". Serving normalises with them instead of the data's");
    add(Severity::kError, absent,
        ". The graph alone says so, there are no values to look at: unless the program fetches the "
        "updates itself, serving normalises with mean 0 and variance 1");
    add(Severity::kInfo, moved,
        ". The values moved" + Step() + ", so the program fetches the updates itself");
  }

  std::string Told(const std::vector<std::string>& variables, bool no_op) const {
    const std::vector<std::string> scopes = Scopes(variables);
    std::string text = "by the graph (" + source() + "), ";
    if (no_op) {
      return text + "no operation updates " + Plural(variables.size(), "moving statistic") +
             " of " + Listed(scopes, kNamed) + ", although the batch norms train with " + Roots();
    }
    const std::size_t total = facts_.reach.variables.size();
    text += "the updates of " + std::to_string(variables.size()) + " of " +
            Plural(total, "moving statistic") + " (" + Listed(scopes, kNamed) +
            ") do not run with " + Roots();
    if (facts_.reach.run_with_root.size() > 1) {
      std::vector<std::string> counts;
      for (std::size_t i = 0; i < facts_.reach.roots.size(); ++i) {
        counts.push_back(std::to_string(facts_.reach.run_with_root[i]) + " with " +
                         facts_.reach.roots[i]);
      }
      text += " (" + Listed(counts, kNamed) + ")";
    }
    for (const UpdatedVariable& variable : facts_.reach.variables) {
      if (variable.variable != variables.front() || variable.example.empty()) continue;
      return text + "; one is " + variable.example;
    }
    return text;
  }

  // A batch norm in training mode for which the graph holds no variable of a statistic at all.
  void AddUntouched() {
    std::vector<std::string> names;
    for (const std::size_t i : facts_.reach.without_update) {
      const OpBatchNorm& norm = facts_.found.norms[i];
      names.push_back(facts_.bodies.Describe({norm.body, norm.output}));
    }
    Add(RuleIndex::kNoUpdateOp, Severity::kInfo, {},
        "by the graph (" + source() + "), " + Plural(names.size(), "batch norm") + " (" +
            Listed(names, kNamed) + ") train with " + Roots() +
            " and have neither moving statistics nor an update");
  }

  void JudgeFetch() {
    std::vector<std::string> initial, others;
    for (const UpdatedVariable& variable : facts_.reach.variables) {
      if (!variable.runs_with_fetch) continue;
      (ValuesOf(variable.variable) == Moved::kInitial ? initial : others)
          .push_back(variable.variable);
    }
    const std::string told = "by the graph (" + source() + "), the updates run only if " +
                             facts_.reach.fetch + " is fetched, not with " + Roots() + " alone";
    if (!initial.empty()) {
      const auto step = StepOf(subject_);
      const bool untrained = step && *step == 0;
      Add(RuleIndex::kUpdatesOutsideTrainOp, untrained ? Severity::kInfo : Severity::kError,
          initial,
          told + ". The values are still initial (mean 0, variance 1)" + Step() +
              (untrained ? "" : ", so it was not"));
    }
    if (!others.empty()) {
      Add(RuleIndex::kUpdatesOutsideTrainOp, Severity::kInfo, others,
          told + ". That is sound where the program fetches it");
    }
  }

  // Statistics that several calls of a layer update, some of which do not run.
  void JudgeTowers() {
    std::vector<std::string> variables;
    const UpdatedVariable* first = nullptr;
    for (const UpdatedVariable& variable : facts_.reach.variables) {
      if (!variable.RunsPartly()) continue;
      if (first == nullptr) first = &variable;
      variables.push_back(variable.variable);
    }
    if (first == nullptr) return;
    const auto [runs, rests] = Difference(first->runs_example, first->example);
    const bool towers = IsTower(runs) && IsTower(rests);
    std::string text = "by the graph (" + source() + "), " + std::to_string(first->updates_run) +
                       " of the " + std::to_string(first->updates) + " updates of each of " +
                       Plural(variables.size(), "moving statistic") + " (" +
                       Listed(Scopes(variables), kNamed) + ") run with " + Roots() + ": ";
    text += towers ? "those of " + runs + " do and those of " + rests +
                         " do not, so the statistics are of the share of the data that one tower "
                         "sees. That is sound where all towers see alike data"
                   : first->runs_example + " does and " + first->example +
                         " does not: two calls of the layer. That is sound where serving makes "
                         "the calls that are counted";
    Add(RuleIndex::kUpdatesOutsideTrainOp, Severity::kInfo, variables, std::move(text));
  }

  // The first component in which two names differ.
  static std::pair<std::string, std::string> Difference(std::string_view a, std::string_view b) {
    while (true) {
      const std::size_t i = a.find('/'), k = b.find('/');
      const std::string_view one = a.substr(0, i), other = b.substr(0, k);
      if (one != other || i == std::string_view::npos || k == std::string_view::npos)
        return {std::string(one), std::string(other)};
      a.remove_prefix(i + 1);
      b.remove_prefix(k + 1);
    }
  }

  static bool IsTower(const std::string& component) {
    for (const char* word : {"tower", "Tower", "clone", "replica", "gpu", "GPU"}) {
      if (component.find(word) != std::string::npos) return true;
    }
    return false;
  }

  // GR003.
  void JudgeSavers() {
    if (facts_.savers.empty()) return;
    std::set<std::string> needed;
    for (const OpBatchNorm& norm : facts_.found.norms) {
      for (const std::string& name :
           {norm.moving_mean, norm.moving_variance, norm.gamma.variable, norm.beta.variable}) {
        if (!name.empty()) needed.insert(name);
      }
    }
    const OpSaverContents* best = nullptr;
    std::vector<std::string> best_missing;
    for (const OpSaverContents& saver : facts_.savers) {
      std::vector<std::string> missing;
      for (const std::string& name : needed) {
        if (!saver.SavesVariable(name) && !saver.SavesKey(name)) missing.push_back(name);
      }
      if (missing.empty() || !saver.complete) return;
      if (best == nullptr || missing.size() < best_missing.size()) {
        best = &saver;
        best_missing = std::move(missing);
      }
    }
    ReportSaver(*best, best_missing);
  }

  void ReportSaver(const OpSaverContents& saver, const std::vector<std::string>& missing) {
    const bool all_in_file = std::all_of(missing.begin(), missing.end(), [&](const auto& name) {
      return TensorOfVariable(manifest(), facts_, name).has_value();
    });
    const bool in_file = !manifest().tensors.empty() && all_in_file && FromCheckpoint();
    const std::string which = facts_.savers.size() == 1
                                  ? "the saver \"" + saver.scope + "\""
                                  : "none of " + Plural(facts_.savers.size(), "saver") + " (" +
                                        saver.scope + " comes closest)";
    std::string message = "by the graph (" + source() + "), " + which +
                          (facts_.savers.size() == 1 ? " does not save " : " saves all of ") +
                          Plural(missing.size(), "variable") +
                          " that serving reads: " + Listed(missing, kNamed);
    message += in_file ? ". They are in this file, so another saver wrote it"
                       : ". A program that restores its checkpoints runs on mean 0 and variance 1, "
                         "or fails";
    Add(RuleIndex::kSaverWithoutStatistics, in_file ? Severity::kInfo : Severity::kError, missing,
        std::move(message));
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
          "by the graph (" + source() + "), a restore asks for " + Plural(best.size(), "tensor") +
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
        "by the graph (" + source() + "), the serving path reads " +
            Plural(missing.size(), "variable") +
            " that the checkpoint lacks: " + Listed(missing, kNamed));
  }

  // GR005.
  void JudgeTrainingMode() {
    const std::vector<std::size_t>& norms = facts_.serving.training_norms;
    if (norms.empty()) return;
    std::vector<std::string> names, variables;
    std::set<std::string> known;
    for (const std::size_t i : norms) {
      const OpBatchNorm& norm = facts_.found.norms[i];
      names.push_back(facts_.bodies.Describe({norm.body, norm.output}));
      for (const std::string& name : {norm.moving_mean, norm.moving_variance}) {
        if (!name.empty() && known.insert(name).second) variables.push_back(name);
      }
    }
    const std::string told = std::to_string(norms.size()) + " of " +
                             Plural(facts_.serving.norms, "batch norm") + " on the path to " +
                             Listed(facts_.serving.outputs, 1);
    if (facts_.serves) {
      Add(RuleIndex::kTrainingModeServing, Severity::kError, variables,
          "by the graph (" + source() + "), " + told +
              " run in training mode: " + Listed(names, kNamed) +
              ". They normalise with the statistics of the request's own batch: an answer depends "
              "on the requests beside it");
      return;
    }
    Add(RuleIndex::kTrainingModeServing, Severity::kInfo, variables,
        "by the graph (" + source() + "), " + Plural(norms.size(), "batch norm") +
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
          "by the graph (" + source() + "), the placeholder " + Listed(all, kNamed) + " switches " +
              Plural(facts_.serving.switched_norms, "batch norm") +
              " between training and inference: feed it false at serving");
      return;
    }
    std::string message = "by the graph (" + source() + "), ";
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
  std::map<TensorId, Moved> values_ = {};
};

}  // namespace

void JudgeGraph(const Subject& subject, FindingList& findings) {
  if (subject.graph != nullptr) GraphJudge(subject, *subject.graph, findings).Judge();
}

}  // namespace ckpt::audit
