// Moving statistics that a graph declares and its checkpoint lacks.
#include <algorithm>
#include <map>
#include <numeric>
#include <utility>

#include "ckpt/calibrate.h"
#include "ckpt/elements.h"
#include "ckpt/forwarding_checkpoint.h"
#include "ckpt/op_analysis.h"
#include "ckpt/op_saving.h"
#include "ckpt/serving_network.h"
#include "core/held_bytes.h"

namespace ckpt {
namespace {

struct Missing {
  TensorInfo info;
  double initial = 0;
};

class Completed : public RewrittenCheckpoint {
 public:
  Completed(const Checkpoint& checkpoint, std::vector<Missing> missing)
      : RewrittenCheckpoint(checkpoint) {
    const std::size_t before = manifest_.tensors.size();
    for (Missing& one : missing) {
      manifest_.tensors.push_back(std::move(one.info));
      initial_.push_back(one.initial);
    }
    Sort(before);
  }

  Result<std::unique_ptr<TensorStream>> Open(TensorId id) const override {
    const std::uint32_t source = source_[id.index];
    const auto stored = static_cast<std::uint32_t>(manifest_.tensors.size() - initial_.size());
    if (source < stored) return inner().Open(TensorId{source});
    const TensorInfo& info = manifest_.tensors[id.index];
    const std::vector<double> initial(info.shape.element_count(), initial_[source - stored]);
    return std::unique_ptr<TensorStream>(std::make_unique<HeldBytes>(Encoded(info.dtype, initial)));
  }
  // The graph reads tensors that the inner one lacks.
  Result<network::Network> MakeNetwork() const override { return NetworkOverSource(*this, {}); }

  std::vector<TensorId> Added() const {
    std::vector<TensorId> added;
    for (std::uint32_t i = 0; i < source_.size(); ++i) {
      if (source_[i] >= source_.size() - initial_.size()) added.push_back(TensorId{i});
    }
    return added;
  }

 private:
  // By name, as a manifest is; what names tensors by their place follows.
  void Sort(std::size_t before) {
    std::vector<TensorInfo>& tensors = manifest_.tensors;
    source_.resize(tensors.size());
    std::iota(source_.begin(), source_.end(), 0U);
    std::stable_sort(source_.begin(), source_.end(), [&](std::uint32_t a, std::uint32_t b) {
      return tensors[a].name < tensors[b].name;
    });
    std::vector<TensorInfo> sorted;
    std::vector<TensorId> place(before);
    for (std::uint32_t i = 0; i < source_.size(); ++i) {
      sorted.push_back(std::move(tensors[source_[i]]));
      if (source_[i] < before) place[source_[i]] = TensorId{i};
    }
    tensors = std::move(sorted);
    for (TensorInfo& info : tensors) {
      if (info.slot_of) info.slot_of = place[info.slot_of->index];
      if (info.alias_of) info.alias_of = place[info.alias_of->index];
    }
    for (TensorId& id : manifest_.stored_order) id = place[id.index];
    for (Problem& problem : manifest_.problems) {
      for (TensorId& id : problem.tensors) id = place[id.index];
      std::sort(problem.tensors.begin(), problem.tensors.end());
    }
  }

  std::vector<double> initial_;        // of what was added
  std::vector<std::uint32_t> source_;  // by tensor: where it stood before they were sorted
};

// tensorflow/core/framework/types.proto; references are 100 above.
std::optional<Dtype> FloatOf(const Op& variable) {
  const auto* dtype = FindAttr<OpDtype>(variable, "dtype");
  if (dtype == nullptr) return std::nullopt;
  switch (dtype->number % 100) {
    case 1:
      return Dtype::kF32;
    case 2:
      return Dtype::kF64;
    case 14:
      return Dtype::kBF16;
    case 19:
      return Dtype::kF16;
    default:
      return std::nullopt;
  }
}

class Collector {
 public:
  Collector(const Manifest& manifest, const OpAnalysis& ops) : manifest_(manifest), ops_(ops) {
    for (OpId id = 0; id < ops.graph->top.ops.size(); ++id) {
      const Op& op = ops.graph->top.ops[id];
      if (IsVariableOp(op.type)) variables_.emplace(ops.variables.NameOf(op), id);
    }
  }

  Result<std::vector<Missing>> Collect() {
    for (const OpBatchNorm& norm : ops_.found.norms) {
      CKPT_RETURN_IF_ERROR(Add(norm.moving_mean, 0));
      CKPT_RETURN_IF_ERROR(Add(norm.moving_variance, 1));
    }
    std::vector<Missing> missing;
    for (auto& [name, one] : missing_) missing.push_back(std::move(one));
    return missing;
  }

 private:
  Status Add(const std::string& name, double initial) {
    if (name.empty() || missing_.contains(name) || FindTensor(manifest_, name)) return {};
    if (const OpVariable* record = ops_.variables.Find(name)) {
      if (!record->checkpoint_key.empty() && FindTensor(manifest_, record->checkpoint_key))
        return {};
      // A part of a variable that is stored as a whole, or is missing as one.
      if (!record->full_name.empty()) {
        if (FindTensor(manifest_, record->full_name)) return {};
        return Unfit(name, "is a part of a variable, and the file holds no part of it");
      }
    }
    const auto found = variables_.find(name);
    if (found == variables_.end()) return {};
    const Op& op = ops_.graph->top.ops[found->second];
    const auto dtype = FloatOf(op);
    const auto* shape = FindAttr<OpShape>(op, "shape");
    const bool known = shape != nullptr && *shape &&
                       std::all_of((*shape)->begin(), (*shape)->end(),
                                   [](std::int64_t size) { return size >= 0; });
    if (!dtype || !known) return Unfit(name, "has no type or shape in the graph that declares it");
    Missing one;
    one.initial = initial;
    one.info.name = one.info.stored_as = name;
    one.info.dtype = *dtype;
    CKPT_ASSIGN_OR_RETURN(one.info.shape, Shape::FromDims(**shape));
    constexpr std::uint64_t kMostDeclared = std::uint64_t{1} << 28;
    if (one.info.shape.element_count() > kMostDeclared) return Unfit(name, "is too large");
    one.info.byte_size = one.info.shape.element_count() * BitSize(*dtype) / 8;
    missing_.emplace(name, std::move(one));
    return {};
  }

  static Status Unfit(const std::string& name, std::string why) {
    Error error{ErrorCode::kUnfit, std::move(why)};
    error.tensor = name;
    return Fail(std::move(error));
  }

  const Manifest& manifest_;
  const OpAnalysis& ops_;
  std::map<std::string, OpId> variables_;
  std::map<std::string, Missing> missing_;
};

std::vector<std::string> SaversWithout(const OpAnalysis& ops, const std::vector<Missing>& missing) {
  std::vector<std::string> scopes;
  for (const OpSaverContents& saver : FindRestores(ops.bodies)) {
    const bool lacks = std::any_of(missing.begin(), missing.end(), [&](const Missing& one) {
      return !saver.SavesVariable(one.info.name) && !saver.SavesKey(one.info.name);
    });
    if (lacks && saver.complete) scopes.push_back(saver.scope);
  }
  return scopes;
}

}  // namespace

Result<CompletedCheckpoint> WithMissingStatistics(const Checkpoint& checkpoint,
                                                  const Analysis& analysis) {
  CompletedCheckpoint completed;
  const Manifest& manifest = checkpoint.manifest();
  // Where tensors are constants of the graph, or of layers, none can be missing.
  if (analysis.ops == nullptr || manifest.graph || analysis.ops->serves) return completed;
  CKPT_ASSIGN_OR_RETURN(std::vector<Missing> missing, Collector(manifest, *analysis.ops).Collect());
  if (missing.empty()) return completed;
  completed.savers_without = SaversWithout(*analysis.ops, missing);
  auto with = std::make_unique<Completed>(checkpoint, std::move(missing));
  completed.added = with->Added();
  completed.checkpoint = std::move(with);
  return completed;
}

}  // namespace ckpt
