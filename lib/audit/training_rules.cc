#include <algorithm>
#include <cmath>
#include <map>
#include <string>

#include "audit/absorbed.h"
#include "audit/graph_facts.h"
#include "audit/rules.h"
#include "audit/update_count.h"
#include "audit/wording.h"

namespace ckpt::audit {
namespace {

enum class Verdict : std::uint8_t {
  kNotJudged,         // a statistic is absent or unreadable
  kLearnt,            // the statistics moved
  kProved,            // initial, and the file proves training
  kLooks,             // initial, gamma or beta moved
  kVarianceLeftOut,   // only the variance is initial
  kUntrained,         // gamma and beta are initial too
  kFrozenAndInitial,  // initial, and the config freezes the layer
};

struct Judgement {
  Verdict verdict = Verdict::kNotJudged;
  std::string evidence = {};
};

using SlotMap = std::map<TensorId, std::vector<TensorId>>;

SlotMap SlotsByVariable(const Analysis& analysis) {
  SlotMap slots;
  for (std::uint32_t i = 0; i < analysis.roles.size(); ++i) {
    const TensorRole& role = analysis.roles[i];
    if (role.role == Role::kOptimizerSlot && role.of) slots[*role.of].push_back(TensorId{i});
  }
  return slots;
}

// Did gradients arrive in this slot? One that holds an optimizer's initial value throughout
// (Momentum and Adam 0, Adagrad 0.1, RMSProp 1) has seen none.
bool SlotMoved(TensorReader& reader, TensorId slot) {
  const std::optional<std::vector<double>> values = reader.Doubles(slot);
  if (!values || values->empty()) return false;
  const auto all = [&](double initial) {
    return std::all_of(values->begin(), values->end(),
                       [&](double value) { return std::fabs(value - initial) < 1e-6; });
  };
  return !all(0) && !all(0.1) && !all(1);
}

bool HasSlotEvidence(const TensorRole& role) {
  return std::any_of(role.evidence.begin(), role.evidence.end(), [](const Evidence& evidence) {
    return evidence.source == EvidenceSource::kSlots;
  });
}

// Why the file proves that the layer was trained; empty if it does not.
std::string ProofOfTraining(const Subject& subject, std::size_t i, const SlotMap& slots) {
  const BatchNorm& layer = subject.layers()[i];
  const bool moved = !AffineInitial(subject.values[i]);
  if (subject.raw_values != nullptr) {
    const LayerValues& raw = (*subject.raw_values)[i];
    if (raw.mean && raw.spread && !StatisticsInitial(raw)) {
      return "the raw model's statistics moved, those of its averages did not";
    }
  }
  if (layer.batch_counter) {
    const std::optional<double> batches = subject.reader.Scalar(*layer.batch_counter);
    if (batches && *batches > 0) return "num_batches_tracked is " + Number(*batches);
  }
  for (const auto& [id, name] : {std::pair(layer.gamma, "gamma"), std::pair(layer.beta, "beta")}) {
    const auto found = id ? slots.find(*id) : slots.end();
    const bool covered = id && HasSlotEvidence(subject.analysis.roles[id->index]);
    if (found == slots.end() && moved && covered) {
      return std::string("the file holds an optimizer's state of its ") + name;
    }
    if (found == slots.end()) continue;
    if (moved || std::any_of(found->second.begin(), found->second.end(),
                             [&](TensorId slot) { return SlotMoved(subject.reader, slot); })) {
      return std::string("the file holds an optimizer's slots of its ") + name;
    }
  }
  const std::optional<double> updates = LocalStep(subject, layer);
  if (updates && *updates == 0 && moved && (layer.gamma || layer.beta)) {
    return "its update counter local_step is 0 while gamma or beta moved";
  }
  return "";
}

// Why the graph proves that the statistics were never updated; empty if it does not. At step 0
// nothing was trained yet.
std::string ProofOfGraph(const Subject& subject, std::size_t i) {
  if (subject.graph == nullptr || subject.graph->left_out.empty()) return "";
  const std::optional<double> step = StepOf(subject);
  if (step ? *step == 0 : AffineInitial(subject.values[i])) return "";
  for (const TensorId id : StatisticsOf(subject.layers()[i])) {
    if (subject.graph->left_out_tensors.count(id) == 0) continue;
    return "the graph runs no update of them with the train operation";
  }
  return "";
}

// A mean that is subtracted from the model's input, written by hand: no training uses epsilon 0.
bool IsFixedNormalisation(const BatchNorm& layer) {
  return layer.epsilon && layer.epsilon->value == 0 &&
         layer.epsilon->evidence.source != EvidenceSource::kDefault;
}

Judgement JudgeLayer(const Subject& subject, std::size_t i, const SlotMap& slots) {
  const BatchNorm& layer = subject.layers()[i];
  const LayerValues& values = subject.values[i];
  if (!values.mean || !values.spread || values.mean->empty()) return {};
  if (subject.calibrated.contains(i)) return {Verdict::kLearnt};
  if (!StatisticsInitial(values)) {
    if (AllEqual(*values.spread, 1) && values.spread->size() > 1 && !KeepsStatistics(layer) &&
        !IsFixedNormalisation(layer)) {
      return {Verdict::kVarianceLeftOut, "every variance is 1 beside a mean that moved"};
    }
    return {Verdict::kLearnt};
  }
  if (layer.inference_only && !AffineInitial(values)) return {Verdict::kFrozenAndInitial};
  if (std::string proof = ProofOfTraining(subject, i, slots); !proof.empty()) {
    return {Verdict::kProved, std::move(proof)};
  }
  if (std::string proof = ProofOfGraph(subject, i); !proof.empty()) {
    return {Verdict::kProved, std::move(proof)};
  }
  if (AffineInitial(values)) return {Verdict::kUntrained};
  if (layer.frozen) return {Verdict::kFrozenAndInitial};
  const std::optional<double> step = StepOf(subject);
  if (step && *step == 0 && !values.gamma && !values.beta) return {Verdict::kUntrained};
  return {Verdict::kLooks};
}

class TrainingJudge {
 public:
  TrainingJudge(const Subject& subject, FindingList& findings)
      : subject_(subject), findings_(findings) {
    const SlotMap slots = SlotsByVariable(subject.analysis);
    for (std::size_t i = 0; i < subject.layers().size(); ++i) {
      judgements_.push_back(JudgeLayer(subject, i, slots));
    }
  }

  void AddFindings() {
    AddUntrained();
    AddProved();
    const bool some_learnt = !LayersWith(Verdict::kLearnt).empty();
    const bool some_initial =
        !LayersWith(Verdict::kProved).empty() || !LayersWith(Verdict::kLooks).empty();
    if (some_learnt && some_initial) {
      AddPartly();
    } else {
      AddLooksOrAbsorbed();
    }
    AddVarianceLeftOut();
    AddFrozen();
  }

 private:
  std::vector<LayerIssue> LayersWith(Verdict verdict) const {
    std::vector<LayerIssue> layers;
    for (std::size_t i = 0; i < judgements_.size(); ++i) {
      if (judgements_[i].verdict != verdict) continue;
      layers.push_back({i, StatisticsOf(subject_.layers()[i]), judgements_[i].evidence});
    }
    return layers;
  }

  void Add(RuleIndex rule, Severity severity, std::string what, std::vector<LayerIssue> layers) {
    const char* consequence =
        severity == Severity::kInfo
            ? ""
            : "Serving normalises with mean 0 and variance 1 instead of the data's, and every "
              "layer behind gets inputs that it never saw";
    findings_.Add(Issue{rule, severity, std::move(what), consequence, std::move(layers)});
  }

  void AddProved() {
    Add(RuleIndex::kNeverUpdated, Severity::kError,
        "the moving statistics were never updated, although the layer was trained",
        LayersWith(Verdict::kProved));
  }

  void AddPartly() {
    std::vector<LayerIssue> layers = LayersWith(Verdict::kProved);
    for (LayerIssue& issue : LayersWith(Verdict::kLooks)) layers.push_back(std::move(issue));
    std::sort(layers.begin(), layers.end(),
              [](const LayerIssue& a, const LayerIssue& b) { return a.layer < b.layer; });
    std::vector<std::string> scopes;
    FileIssue issue{RuleIndex::kPartlyUpdated, Severity::kWarning};
    for (const LayerIssue& layer : layers) {
      scopes.push_back(subject_.layers()[layer.layer].scope);
      issue.tensors.insert(issue.tensors.end(), layer.tensors.begin(), layer.tensors.end());
    }
    const std::size_t learnt = LayersWith(Verdict::kLearnt).size();
    issue.message = "moving statistics were updated in " + Plural(learnt, "layer") +
                    " and never in " + std::to_string(layers.size()) + ": " + Listed(scopes, 3) +
                    ". Those normalise with mean 0 and variance 1 at serving";
    findings_.Add(std::move(issue));
  }

  void AddLooksOrAbsorbed() {
    std::vector<LayerIssue> layers = LayersWith(Verdict::kLooks);
    std::vector<std::size_t> indices;
    for (const LayerIssue& layer : layers) indices.push_back(layer.layer);
    // Absorbing is done to a whole model.
    const bool all = LayersWith(Verdict::kProved).empty() && !indices.empty();
    const std::string signs = all ? SignsOfAbsorbing(subject_, indices) : "";
    if (!signs.empty()) {
      for (LayerIssue& layer : layers) layer.detail.clear();
      Add(RuleIndex::kStatisticsAbsorbed, Severity::kInfo,
          "mean 0 and variance 1 everywhere, absorbed into gamma and beta: " + signs,
          std::move(layers));
      return;
    }
    Add(RuleIndex::kLooksNeverUpdated, Severity::kWarning,
        "the moving statistics look never updated: exactly mean 0 and variance 1 in every channel",
        std::move(layers));
  }

  void AddVarianceLeftOut() {
    findings_.Add(Issue{RuleIndex::kLooksNeverUpdated, Severity::kWarning,
                        "the moving variance looks never updated",
                        "Serving normalises with variance 1 instead of the data's",
                        LayersWith(Verdict::kVarianceLeftOut)});
  }

  void AddFrozen() {
    Add(RuleIndex::kStatisticsAbsorbed, Severity::kInfo,
        "mean 0 and variance 1 in layers that train with the statistics that they were built with",
        LayersWith(Verdict::kFrozenAndInitial));
  }

  // Past step 0 with no batch norm that moved in any way, something else is wrong.
  void AddUntrained() {
    const std::optional<double> step = StepOf(subject_);
    const bool any_moved =
        std::any_of(judgements_.begin(), judgements_.end(), [](const Judgement& judgement) {
          return judgement.verdict != Verdict::kUntrained &&
                 judgement.verdict != Verdict::kNotJudged;
        });
    const bool all_frozen =
        std::all_of(subject_.layers().begin(), subject_.layers().end(),
                    [](const BatchNorm& layer) { return KeepsStatistics(layer); });
    if (step && *step > 0 && !any_moved && !all_frozen) {
      std::vector<LayerIssue> layers = LayersWith(Verdict::kUntrained);
      for (LayerIssue& layer : layers) {
        layer.detail = "gamma and beta are initial too, at step " + Number(*step);
      }
      Add(RuleIndex::kLooksNeverUpdated, Severity::kWarning,
          "the moving statistics look never updated", std::move(layers));
      return;
    }
    Add(RuleIndex::kLayerNotTrained, Severity::kInfo,
        "gamma, beta and the statistics are at their initial values",
        LayersWith(Verdict::kUntrained));
  }

  const Subject& subject_;
  FindingList& findings_;
  std::vector<Judgement> judgements_;
};

}  // namespace

void JudgeTraining(const Subject& subject, FindingList& findings) {
  TrainingJudge(subject, findings).AddFindings();
}

}  // namespace ckpt::audit
