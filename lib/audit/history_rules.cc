#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <string_view>

#include "audit/older_tensors.h"
#include "audit/rules.h"
#include "audit/same_tensor.h"
#include "audit/wording.h"
#include "ckpt/error_words.h"

namespace ckpt::audit {
namespace {

enum class Change : std::uint8_t { kUnknown, kSame, kMoved };

std::size_t CommonComponents(std::string_view a, std::string_view b) {
  std::size_t common = 0;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()) && a[i] == b[i]; ++i) {
    if (a[i] == '/' || a[i] == '.') ++common;
  }
  return common;
}

class HistoryJudge {
 public:
  HistoryJudge(const Subject& subject, const Checkpoint& older)
      : subject_(subject),
        older_tensors_(subject.manifest(), subject.analysis, older.manifest()),
        older_reader_(older),
        comparison_(subject.checkpoint, older) {}

  void Judge(FindingList& findings) {
    for (std::size_t i = 0; i < subject_.layers().size(); ++i) {
      if (!subject_.calibrated.contains(i)) JudgeLayer(i);
    }
    findings.Add(std::move(reset_));
    findings.Add(std::move(unchanged_));
    findings.Add(std::move(drifted_));
    findings.Add(std::move(recalibrated_));
    AddNotCompared(findings);
    if (!older_reader_.failures().empty() || comparison_.failure()) {
      const Error& error =
          comparison_.failure() ? *comparison_.failure() : older_reader_.failures().front().error;
      findings.Add(FileIssue{RuleIndex::kNotJudged,
                             Severity::kInfo,
                             "",
                             {},
                             "the older checkpoint could not be read in full: " + InWords(error)});
    }
  }

 private:
  // What was not compared, and under which other names the rest was.
  void AddNotCompared(FindingList& findings) const {
    std::size_t with_statistics = 0;
    FileIssue issue{RuleIndex::kNotJudged, Severity::kInfo};
    std::vector<std::string> scopes;
    for (const BatchNorm& layer : subject_.layers()) {
      if (!layer.moving_mean || !layer.moving_variance) continue;
      ++with_statistics;
      if (Older(*layer.moving_mean) && Older(*layer.moving_variance)) continue;
      scopes.push_back(layer.scope);
      for (const TensorId id : StatisticsOf(layer)) issue.tensors.push_back(id);
    }
    if (scopes.empty()) return;
    issue.message = std::to_string(scopes.size()) + " of " + Plural(with_statistics, "batch norm") +
                    " have no statistics of the same name, type and shape in the older checkpoint "
                    "and were not compared with it: " +
                    Listed(scopes, 3);
    if (!older_tensors_.how().empty()) {
      issue.message += ". Of the older checkpoint, " + older_tensors_.how();
    }
    findings.Add(std::move(issue));
  }

  std::optional<TensorId> Older(TensorId id) const { return older_tensors_.Find(id); }

  std::optional<std::vector<double>> OlderValues(const std::optional<TensorId>& id) {
    const std::optional<TensorId> older = id ? Older(*id) : std::nullopt;
    return older ? older_reader_.Doubles(*older) : std::nullopt;
  }

  Change ChangeOf(TensorId id) {
    const auto [known, is_new] = changes_.try_emplace(id, Change::kUnknown);
    if (!is_new) return known->second;
    if (const std::optional<TensorId> older = Older(id)) {
      const std::optional<bool> same = comparison_.Same(id, *older);
      if (same) known->second = *same ? Change::kSame : Change::kMoved;
    }
    return known->second;
  }

  // Of gamma and beta: moved if one did, the same if all that exist are.
  Change AffineChange(const BatchNorm& layer) {
    Change change = Change::kUnknown;
    for (const auto& id : {layer.gamma, layer.beta}) {
      if (!id) continue;
      const Change one = ChangeOf(*id);
      if (one != Change::kSame) return one;
      change = one;
    }
    return change;
  }

  // Of the kernels and biases whose names share most with the layer's: those trained with it.
  Change KernelChange(const BatchNorm& layer) {
    std::size_t most = 0, least = std::string::npos;
    std::vector<TensorId> beside;
    for (std::uint32_t i = 0; i < subject_.analysis.roles.size(); ++i) {
      const Role role = subject_.analysis.roles[i].role;
      if (role != Role::kKernel && role != Role::kBias) continue;
      const std::size_t common =
          CommonComponents(subject_.manifest().tensors[i].name, layer.scope + "/");
      least = std::min(least, common);
      if (common < most) continue;
      if (common > most) beside.clear();
      most = common;
      beside.push_back(TensorId{i});
    }
    // Names that share nothing, or all the same, tell nothing; then some kernel must be frozen too.
    bool any_same = false;
    for (const TensorId id : beside) {
      const Change change = ChangeOf(id);
      if (most > least && change != Change::kSame) return change;
      any_same = any_same || change == Change::kSame;
    }
    if (beside.empty()) return Change::kUnknown;
    return any_same ? Change::kSame : Change::kMoved;
  }

  // Did anything that an optimizer trains move?
  bool AnyWeightMoved() {
    if (any_weight_moved_) return *any_weight_moved_;
    bool moved = false;
    for (std::uint32_t i = 0; i < subject_.analysis.roles.size() && !moved; ++i) {
      const Role role = subject_.analysis.roles[i].role;
      if (role != Role::kKernel && role != Role::kBias && role != Role::kGamma &&
          role != Role::kBeta) {
        continue;
      }
      // A weight that the older checkpoint has not, or in another shape: a head that was replaced.
      moved = !Older(TensorId{i}) || ChangeOf(TensorId{i}) == Change::kMoved;
    }
    any_weight_moved_ = moved;
    return moved;
  }

  void JudgeLayer(std::size_t i) {
    const BatchNorm& layer = subject_.layers()[i];
    const LayerValues& now = subject_.values[i];
    LayerValues then;
    then.mean = OlderValues(layer.moving_mean);
    then.spread = OlderValues(layer.moving_variance);
    if (!now.mean || !now.spread || !then.mean || !then.spread) return;
    const LayerIssue found{i, StatisticsOf(layer)};
    if (StatisticsInitial(now) && !StatisticsInitial(then)) {
      reset_.layers.push_back({i, found.tensors, KernelsInWords(layer)});
      return;
    }
    const bool same_statistics =
        SameValues(*now.mean, *then.mean) && SameValues(*now.spread, *then.spread);
    const Change affine = AffineChange(layer);
    if (same_statistics) {
      const bool trained = layer.gamma || layer.beta ? affine == Change::kMoved : AnyWeightMoved();
      if (trained && !layer.frozen) unchanged_.layers.push_back(found);
    } else if (affine == Change::kSame && KernelChange(layer) == Change::kSame) {
      (AnyWeightMoved() ? drifted_ : recalibrated_)
          .layers.push_back({i, found.tensors, Distance(layer, now, then)});
    }
  }

  std::string KernelsInWords(const BatchNorm& layer) {
    switch (KernelChange(layer)) {
      case Change::kSame:
        return subject_.analysis.framework == Framework::kPyTorch
                   ? "the weights beside it are equal, as where parameters were loaded without "
                     "buffers"
                   : "the weights beside it are equal, as after a warm start from trainable "
                     "variables";
      case Change::kMoved:
        return "the weights beside it moved too";
      case Change::kUnknown:
        break;
    }
    return "";
  }

  static std::string Distance(const BatchNorm& layer, const LayerValues& now,
                              const LayerValues& then) {
    double shift = 0;
    for (std::size_t c = 0; c < std::min(now.mean->size(), then.spread->size()); ++c) {
      const double divisor =
          layer.spread == SpreadKind::kVariance ? std::sqrt((*then.spread)[c]) : (*then.spread)[c];
      if (divisor > 0) {
        shift = std::fmax(shift, std::fabs((*now.mean)[c] - (*then.mean)[c]) / divisor);
      }
    }
    return "means moved by up to " + Number(shift) + " standard deviations";
  }

  const Subject& subject_;
  OlderTensors older_tensors_;
  TensorReader older_reader_;
  TensorComparison comparison_;
  std::map<TensorId, Change> changes_;
  std::optional<bool> any_weight_moved_;

  Issue reset_{RuleIndex::kStatisticsReset, Severity::kWarning,
               "statistics that the older checkpoint had learnt are initial again",
               "Serving normalises with mean 0 and variance 1 instead of the data's"};
  Issue unchanged_{RuleIndex::kUnchangedStatistics, Severity::kWarning,
                   "the layer was trained since the older checkpoint, its statistics did not move",
                   "Unless they were frozen on purpose, serving normalises with statistics of "
                   "other weights"};
  Issue drifted_{RuleIndex::kFrozenDrift, Severity::kWarning,
                 "the layer is frozen, and its statistics moved since the older checkpoint",
                 "It no longer computes what the layers behind it were trained on"};
  Issue recalibrated_{RuleIndex::kFrozenDrift, Severity::kInfo,
                      "only statistics moved since the older checkpoint, no weight did",
                      "They were computed again over other data"};
};

}  // namespace

void JudgeHistory(const Subject& subject, const Checkpoint& older, FindingList& findings) {
  HistoryJudge(subject, older).Judge(findings);
}

}  // namespace ckpt::audit
