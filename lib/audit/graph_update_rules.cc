// GR001, GR002: whether the updates of moving statistics run.
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

// What the values of a moving statistic say.
enum class Moved : std::uint8_t { kAbsent, kInitial, kMoved };

// The scope of a variable: all but its last component.
std::string ScopeOf(const std::string& variable) {
  const std::size_t slash = variable.rfind('/');
  return slash == std::string::npos ? variable : variable.substr(0, slash);
}

std::vector<std::string> ScopesOf(const std::vector<std::string>& variables) {
  std::vector<std::string> scopes;
  for (const std::string& variable : variables) {
    std::string scope = ScopeOf(variable);
    if (std::find(scopes.begin(), scopes.end(), scope) == scopes.end()) {
      scopes.push_back(std::move(scope));
    }
  }
  return scopes;
}

class UpdateJudge {
 public:
  UpdateJudge(const Subject& subject, const GraphFacts& facts, FindingList& findings)
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
  }

 private:
  const Manifest& manifest() const { return subject_.manifest(); }

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
    const std::vector<std::string> scopes = ScopesOf(variables);
    std::string text = ByGraph(facts_);
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
        ByGraph(facts_) + Plural(names.size(), "batch norm") + " (" + Listed(names, kNamed) +
            ") train with " + Roots() + " and have neither moving statistics nor an update");
  }

  void JudgeFetch() {
    std::vector<std::string> initial, others;
    for (const UpdatedVariable& variable : facts_.reach.variables) {
      if (!variable.runs_with_fetch) continue;
      (ValuesOf(variable.variable) == Moved::kInitial ? initial : others)
          .push_back(variable.variable);
    }
    const std::string told = ByGraph(facts_) + "the updates run only if " + facts_.reach.fetch +
                             " is fetched, not with " + Roots() + " alone";
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
    std::string text = ByGraph(facts_) + std::to_string(first->updates_run) + " of the " +
                       std::to_string(first->updates) + " updates of each of " +
                       Plural(variables.size(), "moving statistic") + " (" +
                       Listed(ScopesOf(variables), kNamed) + ") run with " + Roots() + ": ";
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

  const Subject& subject_;
  const GraphFacts& facts_;
  FindingList& findings_;
  std::map<TensorId, Moved> values_ = {};
};

}  // namespace

void JudgeGraphUpdates(const Subject& subject, FindingList& findings) {
  if (subject.graph != nullptr) UpdateJudge(subject, *subject.graph, findings).Judge();
}

}  // namespace ckpt::audit
