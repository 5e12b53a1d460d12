#include "ckpt/diff.h"

#include <algorithm>
#include <utility>

#include "ckpt/name_glob.h"
#include "diff/batch_norm_diff.h"
#include "diff/compare.h"
#include "diff/correspondence.h"
#include "diff/folded_comparison.h"
#include "diff/mapping_text.h"
#include "diff/match.h"
#include "diff/signatures.h"

namespace ckpt {
namespace {

class Differ {
 public:
  Differ(const Checkpoint& a, const Analysis& analysis_a, const Checkpoint& b,
         const Analysis& analysis_b, const DiffOptions& options)
      : a_(a),
        analysis_a_(analysis_a),
        b_(b),
        analysis_b_(analysis_b),
        options_(options),
        tolerance_{options.rtol, options.atol},
        held_in_a_(HeldByOperations(a.manifest())),
        held_in_b_(HeldByOperations(b.manifest())) {}

  Result<CheckpointDiff> Run() {
    CKPT_ASSIGN_OR_RETURN(Matching matching, MatchByNames(a_.manifest(), analysis_a_, b_.manifest(),
                                                          analysis_b_, options_));
    if (matching.across) {
      CKPT_RETURN_IF_ERROR(
          FindCorrespondence(a_, analysis_a_, b_, analysis_b_, options_, matching));
    }
    result_.across = matching.across;
    result_.mapping = MappingText(matching);
    result_.by_names_alone = IsByNamesAlone(matching);
    FindAlone(matching.matches);
    std::vector<Match> compared;
    for (const Match& match : matching.matches) {
      if (!IsSelected(match)) continue;
      CKPT_ASSIGN_OR_RETURN(TensorDiff diff, CompareMatch(match));
      result_.tensors.push_back(std::move(diff));
      compared.push_back(match);
    }
    CKPT_RETURN_IF_ERROR(CompareBatchNorms(compared, matching));
    Summarise();
    return std::move(result_);
  }

 private:
  const TensorInfo& InfoA(TensorId id) const { return a_.manifest().tensors[id.index]; }
  const TensorInfo& InfoB(TensorId id) const { return b_.manifest().tensors[id.index]; }

  bool IsSelected(const Match& match) const {
    bool only = options_.only.empty();
    for (const auto& [id, manifest, analysis] :
         {std::tuple(match.a, &a_.manifest(), &analysis_a_),
          std::tuple(match.b, &b_.manifest(), &analysis_b_)}) {
      if (!id) continue;
      const TensorInfo& info = manifest->tensors[id->index];
      only = only || MatchesAny(options_.only, info);
      if (MatchesAny(options_.ignore, info)) return false;
      if (options_.ignore_training_state && IsTrainingState(info, analysis->roles[id->index])) {
        return false;
      }
    }
    return only;
  }

  // A constant of a graph that says how it computes. Operations that hold their weights hold
  // scalars and integers beside them: rates, axes, shapes.
  static bool IsGraphConstant(const TensorInfo& info, bool held_by_operation) {
    if (info.section == Section::kConstant) return true;
    return held_by_operation && (info.shape.rank() == 0 || !IsFloat(info.dtype));
  }

  // Which tensors of the manifest are constants in its operations.
  static std::vector<bool> HeldByOperations(const Manifest& manifest) {
    std::vector<bool> held(manifest.tensors.size(), false);
    if (!manifest.ops) return held;
    const auto take = [&](const OpBody& body) {
      for (const Op& op : body.ops) {
        if (op.tensor && op.tensor->index < held.size()) held[op.tensor->index] = true;
      }
    };
    take(manifest.ops->top);
    for (const auto& [name, function] : manifest.ops->functions) take(function.body);
    return held;
  }

  // Batch counters, a file's own bookkeeping and the constants of a graph are no part of a model
  // that another format or framework holds. A constant that has a counterpart over there without a
  // partner either is one: it may have been changed.
  void JudgeAlone(TensorId id, bool in_a, TensorDiff& diff) const {
    const Manifest& other = (in_a ? b_ : a_).manifest();
    const TensorInfo& info = in_a ? InfoA(id) : InfoB(id);
    const std::vector<bool>& held = in_a ? held_in_a_ : held_in_b_;
    const std::vector<bool>& held_there = in_a ? held_in_b_ : held_in_a_;
    const std::vector<TensorId>& others_alone = in_a ? alone_in_b_ : alone_in_a_;
    if (a_.format() == b_.format() && !result_.across) return;
    if (diff.role == Role::kBatchCounter || info.section == Section::kBookkeeping) {
      diff.counts = false;
    }
    if (!IsGraphConstant(info, held[id.index])) return;
    diff.note = "a constant of the graph, no parameter";
    diff.counts = std::any_of(others_alone.begin(), others_alone.end(), [&](TensorId there) {
      const TensorInfo& alone = other.tensors[there.index];
      return IsGraphConstant(alone, held_there[there.index]) && alone.shape == info.shape &&
             alone.dtype == info.dtype;
    });
  }

  void FindAlone(const std::vector<Match>& matches) {
    for (const Match& match : matches) {
      if (!match.b && match.a) alone_in_a_.push_back(*match.a);
      if (!match.a && match.b) alone_in_b_.push_back(*match.b);
    }
  }

  Result<TensorDiff> CompareMatch(const Match& match) {
    TensorDiff diff;
    if (match.a) {
      const TensorInfo& info = InfoA(*match.a);
      diff.name_a = info.name;
      diff.role = analysis_a_.roles[match.a->index].role;
      diff.dtype_a = info.dtype;
      diff.shape_a = info.shape;
      diff.elements = info.shape.element_count();
    }
    if (match.b) {
      const TensorInfo& info = InfoB(*match.b);
      diff.name_b = info.name;
      diff.dtype_b = info.dtype;
      diff.shape_b = info.shape;
      if (!match.a) {
        diff.role = analysis_b_.roles[match.b->index].role;
        diff.elements = info.shape.element_count();
      }
    }
    if (!match.a || !match.b) {
      diff.status = match.a ? TensorStatus::kRemoved : TensorStatus::kAdded;
      diff.same_bits = false;
      JudgeAlone(match.a ? *match.a : *match.b, match.a.has_value(), diff);
      return diff;
    }
    diff.matched_by = match.by;
    diff.note = match.note;
    CKPT_RETURN_IF_ERROR(CompareValues(match, diff));
    return diff;
  }

  Status CompareValues(const Match& match, TensorDiff& diff) {
    const TensorInfo& a = InfoA(*match.a);
    const TensorInfo& b = InfoB(*match.b);
    if (match.order_of_b) diff.reordered = match.order_of_b->name;
    if (a.shape != b.shape && !match.order_of_b) {
      diff.status = TensorStatus::kReshaped;
      diff.same_bits = false;
      return {};
    }
    const bool as_it_is = !match.order_of_b || IsIdentity(*match.order_of_b);
    if (as_it_is && CompareChecksums(a, b, diff)) return {};
    if (a.dtype != b.dtype) diff.status = TensorStatus::kRetyped;
    if (!CanCompare(a, b)) {
      diff.same_bits = false;
      diff.beyond_tolerance = diff.elements;
      diff.note = "values of these types are not compared";
      return {};
    }
    CKPT_ASSIGN_OR_RETURN(const TensorComparison comparison,
                          CompareTensors(a_, *match.a, b_, *match.b, tolerance_,
                                         match.order_of_b ? &*match.order_of_b : nullptr));
    Take(comparison, diff);
    return {};
  }

  // Settles the comparison where stored checksums can: equal, or different while data is absent.
  bool CompareChecksums(const TensorInfo& a, const TensorInfo& b, TensorDiff& diff) const {
    if (options_.bytes || !a.checksum || !b.checksum) return false;
    if (a.checksum->kind != b.checksum->kind || a.dtype != b.dtype || a.byte_size != b.byte_size) {
      return false;
    }
    const bool equal = *a.checksum == *b.checksum;
    if (!equal && a.data_present && b.data_present) return false;
    diff.by = ComparedBy::kChecksum;
    diff.same_bits = equal;
    if (!equal) {
      diff.status = TensorStatus::kChanged;
      diff.beyond_tolerance = 1;
      diff.note = "the checksums differ; data is absent";
    }
    return true;
  }

  void Take(const TensorComparison& comparison, TensorDiff& diff) {
    const ElementStatistics& statistics = comparison.statistics;
    diff.by = ComparedBy::kBytes;
    diff.same_bits = comparison.same_bits;
    diff.max_abs = statistics.max_abs;
    diff.max_rel = statistics.max_rel;
    diff.max_ulp = statistics.max_ulp;
    diff.cosine = statistics.cosine;
    diff.relative_norm = statistics.relative_norm;
    diff.nan_a = statistics.nan_a;
    diff.nan_b = statistics.nan_b;
    diff.differing = statistics.differing;
    diff.beyond_tolerance = statistics.beyond_tolerance;
    diff.non_finite = statistics.non_finite;
    result_.bytes_read += comparison.bytes_read;
    if (diff.status == TensorStatus::kEqual && diff.differing > 0) {
      diff.status = TensorStatus::kChanged;
    }
    if (comparison.as_bytes) diff.note = "compared as bytes";
    if (diff.status == TensorStatus::kEqual && !diff.same_bits) {
      diff.note = "equal values in other bits: signs of zero or payloads of NaN";
    }
  }

  Status CompareBatchNorms(const std::vector<Match>& matches, const Matching& matching) {
    ComparedTensors compared;
    std::vector<bool> in_a(a_.manifest().tensors.size()), in_b(b_.manifest().tensors.size());
    for (std::size_t i = 0; i < matches.size(); ++i) {
      if (matches[i].a) in_a[matches[i].a->index] = true;
      if (matches[i].b) in_b[matches[i].b->index] = true;
      if (matches[i].a && matches[i].b) compared.emplace(*matches[i].a, &result_.tensors[i]);
    }
    const auto any = [](const BatchNorm* layer, const std::vector<bool>& selected) {
      if (layer == nullptr) return false;
      const std::vector<TensorId> ids = TensorsOf(*layer);
      return std::any_of(ids.begin(), ids.end(), [&](TensorId id) { return selected[id.index]; });
    };
    std::vector<LayerMatch> layers;
    for (const LayerMatch& layer : MatchLayers(analysis_a_, analysis_b_, matching.matches)) {
      if (!any(layer.a, in_a) && !any(layer.b, in_b)) continue;
      CKPT_ASSIGN_OR_RETURN(
          BatchNormDiff diff,
          CompareLayers(a_, b_, layer, HasSameTensors(layer, compared), tolerance_));
      result_.batch_norms.push_back(std::move(diff));
      layers.push_back(layer);
    }
    CKPT_RETURN_IF_ERROR(CompareFolded(a_, analysis_a_, b_, analysis_b_, matches, layers,
                                       tolerance_, result_.batch_norms));
    CKPT_ASSIGN_OR_RETURN(result_.signatures, FindSignatures(a_, b_, layers, compared, matching));
    return {};
  }

  // Every tensor of either layer has an unchanged partner in the other.
  static bool HasSameTensors(const LayerMatch& layer, const ComparedTensors& compared) {
    if (layer.a == nullptr || layer.b == nullptr) return false;
    const std::vector<TensorId> ids = TensorsOf(*layer.a);
    return ids.size() == TensorsOf(*layer.b).size() &&
           std::all_of(ids.begin(), ids.end(), [&](TensorId id) {
             const auto found = compared.find(id);
             return found != compared.end() && IsUnchanged(*found->second);
           });
  }

  void Summarise() {
    bool same = true;
    result_.within_tolerance = true;
    for (std::size_t i = 0; i < result_.tensors.size(); ++i) {
      const TensorDiff& diff = result_.tensors[i];
      Count(i);
      same = same && diff.same_bits;
      if (diff.by == ComparedBy::kChecksum) ++result_.by_checksum;
      const bool structural = diff.status == TensorStatus::kAdded ||
                              diff.status == TensorStatus::kRemoved ||
                              diff.status == TensorStatus::kReshaped;
      const bool differs = structural || diff.beyond_tolerance > 0;
      result_.within_tolerance = result_.within_tolerance && !(differs && diff.counts);
    }
    const bool all_read = result_.by_checksum == 0 || options_.same_file;
    result_.identical = !same ? Identical::kNo : all_read ? Identical::kYes : Identical::kUnread;
  }

  void Count(std::size_t i) {
    const TensorDiff& diff = result_.tensors[i];
    const auto keep_larger = [&](double& most, std::optional<std::size_t>& largest) {
      if (diff.max_abs <= most) return;
      most = diff.max_abs;
      largest = i;
    };
    std::uint64_t CheckpointDiff::*const counters[] = {
        &CheckpointDiff::equal,   &CheckpointDiff::changed, &CheckpointDiff::added,
        &CheckpointDiff::removed, &CheckpointDiff::retyped, &CheckpointDiff::reshaped};
    ++(result_.*counters[static_cast<std::size_t>(diff.status)]);
    switch (diff.role) {
      case Role::kMovingMean:
      case Role::kMovingVariance:
        keep_larger(result_.statistics_max_abs, result_.statistics_largest);
        break;
      case Role::kKernel:
      case Role::kBias:
      case Role::kGamma:
      case Role::kBeta:
      case Role::kOther:
        keep_larger(result_.weights_max_abs, result_.weights_largest);
        break;
      default:
        break;
    }
  }

  const Checkpoint& a_;
  const Analysis& analysis_a_;
  const Checkpoint& b_;
  const Analysis& analysis_b_;
  const DiffOptions& options_;
  const Tolerance tolerance_;
  const std::vector<bool> held_in_a_, held_in_b_;  // by tensor: a constant of an operation
  std::vector<TensorId> alone_in_a_, alone_in_b_;  // tensors without a partner
  CheckpointDiff result_;
};

}  // namespace

std::string_view Name(TensorStatus status) noexcept {
  switch (status) {
    case TensorStatus::kEqual:
      return "equal";
    case TensorStatus::kChanged:
      return "changed";
    case TensorStatus::kAdded:
      return "added";
    case TensorStatus::kRemoved:
      return "removed";
    case TensorStatus::kRetyped:
      return "retyped";
    case TensorStatus::kReshaped:
      return "reshaped";
  }
  return "equal";
}

std::string_view Name(MatchedBy by) noexcept {
  switch (by) {
    case MatchedBy::kName:
      return "name";
    case MatchedBy::kRename:
      return "rename";
    case MatchedBy::kStoredAs:
      return "stored_as";
    case MatchedBy::kPrefix:
      return "prefix";
    case MatchedBy::kConvention:
      return "convention";
    case MatchedBy::kContent:
      return "content";
    case MatchedBy::kFactors:
      return "factors";
    case MatchedBy::kLayer:
      return "layer";
    case MatchedBy::kOrder:
      return "order";
  }
  return "name";
}

Result<CheckpointDiff> Diff(const Checkpoint& a, const Analysis& analysis_a, const Checkpoint& b,
                            const Analysis& analysis_b, const DiffOptions& options) {
  return Differ(a, analysis_a, b, analysis_b, options).Run();
}

}  // namespace ckpt
