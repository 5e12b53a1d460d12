// BN034: statistics of a merged checkpoint that are those of its parents, not of its own weights.
#include <algorithm>
#include <memory>
#include <string>

#include "audit/checkpoint_change.h"
#include "audit/parent_mixture.h"
#include "audit/rules.h"
#include "audit/same_tensor.h"
#include "audit/wording.h"

namespace ckpt::audit {
namespace {

// What rounding leaves of weights and statistics that were averaged in float32, or in half
// precision, is far below; statistics that were computed anew are far above.
constexpr double kLargestMisfit = 0.02;
constexpr std::size_t kWeightsRead = 1 << 18;  // elements of each checkpoint

class MergeJudge {
 public:
  MergeJudge(const Subject& subject, const std::vector<const Checkpoint*>& parents)
      : subject_(subject) {
    for (const Checkpoint* parent : parents) {
      changes_.push_back(
          std::make_unique<CheckpointChange>(subject.checkpoint, subject.analysis, *parent));
    }
  }

  void Judge(FindingList& findings) {
    ReadWeights();
    if (weights_.empty()) return NotJudged(findings, "has no weights in common with its parents");
    if (changes_.size() > 1) mixture_ = FitMixture(weights_, parent_weights_);
    for (std::size_t i = 0; i < subject_.layers().size(); ++i) {
      if (!subject_.calibrated.contains(i)) JudgeLayer(i);
    }
    findings.Add(std::move(averaged_));
    findings.Add(std::move(taken_));
    if (changes_.size() > 1 && mixture_ && mixture_->misfit > kLargestMisfit) {
      NotJudged(findings, "is no weighted average of its parents (misfit " +
                              Number(mixture_->misfit) +
                              "): whether statistics were averaged cannot be told");
    }
  }

 private:
  static void NotJudged(FindingList& findings, const std::string& why) {
    findings.Add(
        FileIssue{RuleIndex::kNotJudged, Severity::kInfo, "", {}, "the checkpoint " + why});
  }

  // Of kernels and the like that it and all parents have, a bounded number.
  void ReadWeights() {
    parent_weights_.resize(changes_.size());
    for (std::uint32_t i = 0; i < subject_.analysis.roles.size(); ++i) {
      const std::uint64_t elements = subject_.manifest().tensors[i].shape.element_count();
      if (!IsTrained(subject_.analysis.roles[i].role) || elements > kWeightsRead - weights_.size())
        continue;
      AddWeights(TensorId{i});
    }
  }

  void AddWeights(TensorId id) {
    const auto own = subject_.reader.Doubles(id);
    if (!own) return;
    std::vector<std::vector<double>> of_parents;
    for (const auto& change : changes_) {
      auto values = change->OlderValues(id);
      if (!values || values->size() != own->size()) return;
      of_parents.push_back(*std::move(values));
    }
    weights_.insert(weights_.end(), own->begin(), own->end());
    for (std::size_t p = 0; p < of_parents.size(); ++p) {
      parent_weights_[p].insert(parent_weights_[p].end(), of_parents[p].begin(),
                                of_parents[p].end());
    }
  }

  void JudgeLayer(std::size_t i) {
    const BatchNorm& layer = subject_.layers()[i];
    const LayerValues& own = subject_.values[i];
    if (!own.mean || !own.spread) return;
    std::vector<std::vector<double>> means, spreads;
    for (const auto& change : changes_) {
      LayerValues then = change->OlderStatistics(layer);
      if (!then.mean || !then.spread) return;
      means.push_back(*std::move(then.mean));
      spreads.push_back(*std::move(then.spread));
    }
    for (std::size_t p = 0; p < means.size(); ++p) {
      if (SameValues(*own.mean, means[p]) && SameValues(*own.spread, spreads[p]))
        return JudgeTaken(i, p);
    }
    for (const std::vector<double>& weights : Candidates()) {
      const auto mean = MisfitOf(*own.mean, means, weights);
      const auto spread = MisfitOf(*own.spread, spreads, weights);
      if (mean && spread && std::max(*mean, *spread) <= kLargestMisfit) {
        averaged_.layers.push_back({i, StatisticsOf(layer), WeightsInWords(weights)});
        return;
      }
    }
  }

  // The weights that statistics may have been averaged by: those of the parameters, or even ones,
  // whatever became of the parameters.
  std::vector<std::vector<double>> Candidates() const {
    const std::size_t parents = changes_.size();
    std::vector<std::vector<double>> candidates;
    if (parents < 2) return candidates;
    if (mixture_ && mixture_->misfit <= kLargestMisfit) candidates.push_back(mixture_->weights);
    candidates.emplace_back(parents, 1 / static_cast<double>(parents));
    return candidates;
  }

  // A layer that was taken as a whole keeps its statistics by right.
  void JudgeTaken(std::size_t i, std::size_t parent) {
    const BatchNorm& layer = subject_.layers()[i];
    CheckpointChange& change = *changes_[parent];
    if (!change.AnyWeightMoved()) return;  // it is that parent
    if (!change.WasTrained(layer) && change.OfKernels(layer) != Change::kMoved) return;
    taken_.layers.push_back({i, StatisticsOf(layer), "of parent " + std::to_string(parent + 1)});
  }

  static std::string WeightsInWords(const std::vector<double>& weights) {
    std::vector<std::string> words;
    for (const double weight : weights) words.push_back(Number(weight));
    return "the parents weigh " + Listed(words, 8);
  }

  const Subject& subject_;
  std::vector<std::unique_ptr<CheckpointChange>> changes_;  // one for each parent
  std::vector<double> weights_;
  std::vector<std::vector<double>> parent_weights_;
  std::optional<Mixture> mixture_;

  Issue averaged_{RuleIndex::kMergedStatistics, Severity::kWarning,
                  "the statistics are the average of the parents'",
                  "The average of statistics is not the statistics of the averaged network: its "
                  "activations have other means and mostly smaller variances"};
  Issue taken_{RuleIndex::kMergedStatistics, Severity::kWarning,
               "the statistics are those of one parent, the weights are not",
               "They are not the statistics of the merged network"};
};

}  // namespace

void JudgeMerge(const Subject& subject, const std::vector<const Checkpoint*>& parents,
                FindingList& findings) {
  MergeJudge(subject, parents).Judge(findings);
}

}  // namespace ckpt::audit
