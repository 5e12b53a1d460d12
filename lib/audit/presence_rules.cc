#include <algorithm>
#include <set>
#include <string>

#include "audit/graph_facts.h"
#include "audit/rules.h"
#include "audit/wording.h"

namespace ckpt::audit {
namespace {

// Saved by a Saver over trainable variables, most likely.
bool NoStatisticSaved(const Subject& subject) {
  return std::none_of(subject.layers().begin(), subject.layers().end(), HasStatistic);
}

// By the graph, where its savers leave out every statistic of the layers that have none.
std::string ProvedSaver(const Subject& subject) {
  if (subject.graph == nullptr) return {};
  const GraphFacts& facts = *subject.graph;
  const SaverGap gap = GapOfSavers(facts);
  if (gap.saver == nullptr) return {};
  std::set<std::size_t> proved;
  for (std::size_t i = 0; i < facts.found.norms.size(); ++i) {
    const OpBatchNorm& norm = facts.found.norms[i];
    const auto lacks = [&](const std::string& name) {
      return std::binary_search(gap.missing.begin(), gap.missing.end(), name);
    };
    if (facts.layer_of[i] && lacks(norm.moving_mean) && lacks(norm.moving_variance))
      proved.insert(*facts.layer_of[i]);
  }
  for (std::size_t i = 0; i < subject.layers().size(); ++i) {
    if (LacksStatistics(subject.layers()[i]) && !proved.contains(i)) return {};
  }
  std::string told = ToldGap(facts, gap);
  told.front() = 'B';
  return told;
}

std::string LikelySaver(const Subject& subject) {
  if (std::string proved = ProvedSaver(subject); !proved.empty()) return proved;
  std::string text = "No moving statistic was saved at all";
  const std::optional<Framework> framework = subject.analysis.framework;
  if (framework == Framework::kKeras) return text + ", as where trainable_weights alone were saved";
  if (!framework || framework == Framework::kTensorFlow) {
    text += ", as by a Saver that is given tf.trainable_variables() only";
  }
  if (framework && framework != Framework::kPyTorch) return text;
  text += framework ? ", as where" : ", or where";
  text += " named_parameters() were saved instead of state_dict()";
  // state_dict() has a counter for each batch norm that has statistics.
  const std::vector<TensorInfo>& tensors = subject.manifest().tensors;
  const bool counted = std::any_of(tensors.begin(), tensors.end(), [](const TensorInfo& info) {
    return info.name.ends_with("num_batches_tracked");
  });
  if (!counted) {
    text +=
        "; or the modules never had any (track_running_stats=False) and normalise by the batch at "
        "serving too: the file cannot tell, since it has no num_batches_tracked either";
  }
  return text;
}

// See BN061.
bool StatisticsAreFed(const Subject& subject, const BatchNorm& batch_norm) {
  if (!subject.manifest().graph || !batch_norm.layer) return false;
  const auto& fed = subject.manifest().graph->layers[*batch_norm.layer].fed_tensors;
  return fed.contains("moving_mean") || fed.contains("moving_variance");
}

void JudgeStatistics(const Subject& subject, FindingList& findings) {
  Issue missing{RuleIndex::kStatisticsMissing, Severity::kError,
                "the moving mean and variance are not in the file",
                "Serving has nothing to normalise with: it fails to restore, or runs on mean 0 and "
                "variance 1 or on its own batch"};
  // A graph that serves by itself: no saver has left them out.
  Issue trains{RuleIndex::kStatisticsMissing, Severity::kError,
               "the graph holds no moving mean and variance, and runs in training mode",
               "It normalises with the batch that it is given, and nothing in the file says what "
               "it would normalise with in inference mode"};
  trains.fix =
      "export the model in inference mode (is_training false) from a checkpoint that has the "
      "moving statistics";
  if (NoStatisticSaved(subject)) missing.consequence += ". " + LikelySaver(subject);
  Issue incomplete{RuleIndex::kStatisticsIncomplete, Severity::kWarning,
                   "one of the two moving statistics is not in the file",
                   "Serving cannot normalise with the other alone"};
  Issue unsure{RuleIndex::kScaleWithoutStatistics, Severity::kInfo,
               "gamma or beta without moving statistics, and nothing says batch norm",
               "Layer, group and instance normalisation have none to lose"};
  for (std::size_t i = 0; i < subject.layers().size(); ++i) {
    const BatchNorm& layer = subject.layers()[i];
    const LayerIssue found{i, TensorsOf(layer)};
    if (StatisticsAreFed(subject, layer)) continue;
    if (!HasStatistic(layer)) {
      const bool at_serving =
          subject.graph != nullptr && !TrainingAtServing(*subject.graph, i).empty();
      (at_serving ? trains : layer.certain ? missing : unsure).layers.push_back(found);
    } else if (!layer.moving_mean) {
      incomplete.layers.push_back({i, found.tensors, "a moving variance without a mean"});
    } else if (!layer.moving_variance) {
      incomplete.layers.push_back({i, found.tensors, "a moving mean without a variance"});
    }
  }
  findings.Add(std::move(missing));
  findings.Add(std::move(trains));
  findings.Add(std::move(incomplete));
  findings.Add(std::move(unsure));
}

void JudgeParameters(const Subject& subject, FindingList& findings) {
  Issue issue{RuleIndex::kParametersMissing, Severity::kWarning,
              "the config calls for tensors that the file lacks",
              "A loader that does not insist leaves gamma at 1 and beta at 0"};
  if (!subject.manifest().graph) return;
  for (std::size_t i = 0; i < subject.layers().size(); ++i) {
    const BatchNorm& batch_norm = subject.layers()[i];
    if (!batch_norm.layer) continue;
    const Layer& layer = subject.manifest().graph->layers[*batch_norm.layer];
    std::string lacks;
    for (const std::string& name : layer.missing_tensors) {
      if (name != "gamma" && name != "beta") continue;
      lacks += (lacks.empty() ? "" : " and ") + name;
    }
    if (!lacks.empty()) issue.layers.push_back({i, TensorsOf(batch_norm), lacks});
  }
  findings.Add(std::move(issue));
}

void JudgeSizes(const Subject& subject, FindingList& findings) {
  Issue issue{RuleIndex::kShapeMismatch, Severity::kError,
              "the tensors of the layer differ in their number of channels",
              "Restoring fails, or broadcasting hides the error and the outputs are wrong"};
  const std::vector<TensorInfo>& tensors = subject.manifest().tensors;
  for (std::size_t i = 0; i < subject.layers().size(); ++i) {
    const BatchNorm& layer = subject.layers()[i];
    if (!layer.certain && !HasStatistic(layer)) continue;
    const std::vector<TensorId> ids = TensorsOf(layer);
    const bool same = std::all_of(ids.begin(), ids.end(), [&](TensorId id) {
      return tensors[id.index].shape.element_count() ==
             tensors[ids.front().index].shape.element_count();
    });
    if (same) continue;
    std::string shapes;
    for (const TensorId id : ids) {
      const TensorInfo& info = tensors[id.index];
      shapes += (shapes.empty() ? "" : ", ") + info.name + " has " + ToString(info.shape);
    }
    issue.layers.push_back({i, ids, shapes});
  }
  findings.Add(std::move(issue));
}

bool Recorded(const std::optional<SourcedNumber>& number) {
  return number && number->evidence.source != EvidenceSource::kDefault;
}

// One record that layers lack: "epsilon is not recorded; 0.001 is assumed (default of Keras)".
struct LackingRecord {
  RuleIndex rule;
  std::string name, consequence;
  std::optional<SourcedNumber> BatchNorm::*number;
};

void JudgeRecord(const Subject& subject, const LackingRecord& record, FindingList& findings) {
  Issue issue{record.rule, Severity::kInfo, record.name + " is not recorded", record.consequence};
  for (std::size_t i = 0; i < subject.layers().size(); ++i) {
    const BatchNorm& layer = subject.layers()[i];
    const std::optional<SourcedNumber>& number = layer.*record.number;
    if (Recorded(number) || !HasStatistic(layer)) continue;
    if (layer.cumulative && record.number == &BatchNorm::momentum) continue;  // there is no decay
    issue.layers.push_back(
        {i, TensorsOf(layer),
         number ? Number(number->value) + " is assumed, " + number->evidence.detail : ""});
  }
  findings.Add(std::move(issue));
}

}  // namespace

void JudgePresence(const Subject& subject, FindingList& findings) {
  JudgeStatistics(subject, findings);
  JudgeParameters(subject, findings);
  JudgeSizes(subject, findings);
}

void JudgeRecords(const Subject& subject, FindingList& findings) {
  JudgeRecord(subject,
              {RuleIndex::kEpsilonNotRecorded, "epsilon",
               "A fold or a conversion that needs it has to be given it", &BatchNorm::epsilon},
              findings);
  JudgeRecord(
      subject,
      {RuleIndex::kMomentumNotRecorded, "momentum",
       "How much the initial values still weigh cannot be said for sure", &BatchNorm::momentum},
      findings);
}

}  // namespace ckpt::audit
