#include "calibration/measured_norms.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

namespace ckpt {

using network::BatchNormalization;
using network::kNoValue;
using network::Network;
using network::Operation;
using network::OperationId;

namespace {

constexpr std::size_t kMean = 3, kVariance = 4;  // operands of a batch norm

class NormSearch {
 public:
  NormSearch(const Network& net, const Checkpoint& weights, const Analysis& analysis)
      : net_(net), weights_(weights), analysis_(analysis) {}

  Result<MeasuredNorms> Find() {
    CollectReaders();
    const std::vector<bool> behind = BehindNorms();
    std::map<OperationId, MeasuredNorm> found;
    for (std::size_t i = 0; i < analysis_.batch_norms.size(); ++i) {
      const BatchNorm& layer = analysis_.batch_norms[i];
      if (!layer.moving_mean || !layer.moving_variance) continue;
      const std::string why = WhyNot(layer);
      if (!why.empty()) {
        norms_.left_out.push_back({i, why});
        continue;
      }
      CKPT_ASSIGN_OR_RETURN(MeasuredNorm norm, Read(layer));
      norm.layer = i;
      norm.first = !behind[norm.InputIn(net_).index];
      if (!IsUsable(norm)) {
        norms_.left_out.push_back({i, "its statistics are not finite or not positive"});
        continue;
      }
      found.emplace(norm.operation, std::move(norm));
    }
    for (auto& [id, norm] : found) norms_.norms.push_back(std::move(norm));
    FindLast(found);
    return std::move(norms_);
  }

 private:
  TensorId Same(TensorId id) const {
    return weights_.manifest().tensors[id.index].alias_of.value_or(id);
  }
  // By the tensor of the mean, of operations that read one.
  void CollectReaders() {
    for (std::uint32_t i = 0; i < net_.operations.size(); ++i) {
      const Operation& op = net_.operations[i];
      if (!std::holds_alternative<BatchNormalization>(op.computation)) continue;
      if (const auto mean = StoredIn(op, kMean)) readers_[*mean].push_back(OperationId{i});
    }
  }
  std::optional<TensorId> StoredIn(const Operation& op, std::size_t operand) const {
    if (op.operands.size() <= operand || op.operands[operand] == kNoValue) return std::nullopt;
    const auto& constant = net_.value(op.operands[operand]).constant;
    const auto* stored = constant ? std::get_if<network::StoredConstant>(&*constant) : nullptr;
    return stored == nullptr ? std::nullopt : std::optional(Same(stored->tensor));
  }

  std::string WhyNot(const BatchNorm& layer) const {
    const auto found = readers_.find(Same(*layer.moving_mean));
    if (found == readers_.end()) return "no batch norm of the network reads its statistics";
    if (found->second.size() > 1) return "it is called several times";
    const Operation& op = net_.operation(found->second.front());
    if (StoredIn(op, kVariance) != Same(*layer.moving_variance)) {
      return "the network reads another variance with its mean";
    }
    if (std::get<BatchNormalization>(op.computation).of_batch) {
      return "it uses the statistics of its batch";
    }
    return op.results[0] == kNoValue ? "nothing reads its result" : "";
  }

  Result<MeasuredNorm> Read(const BatchNorm& layer) const {
    MeasuredNorm norm;
    norm.operation = readers_.at(Same(*layer.moving_mean)).front();
    norm.epsilon = std::get<BatchNormalization>(net_.operation(norm.operation).computation).epsilon;
    const auto most = weights_.manifest().tensors[layer.moving_mean->index].shape.element_count();
    CKPT_ASSIGN_OR_RETURN(norm.stored.mean, ReadDoubles(weights_, *layer.moving_mean, most));
    CKPT_ASSIGN_OR_RETURN(norm.stored.variance,
                          ReadDoubles(weights_, *layer.moving_variance, most));
    return norm;
  }
  static bool IsUsable(const MeasuredNorm& norm) {
    const auto& [mean, variance] = norm.stored;
    return !mean.empty() && mean.size() == variance.size() &&
           std::all_of(mean.begin(), mean.end(), [](double x) { return std::isfinite(x); }) &&
           std::all_of(variance.begin(), variance.end(),
                       [&](double x) { return std::isfinite(x) && x + norm.epsilon > 0; });
  }

  // By value: does a batch norm lie before it?
  std::vector<bool> BehindNorms() const {
    std::vector<bool> behind(net_.values.size());
    for (const Operation& op : net_.operations) {
      bool any = std::holds_alternative<BatchNormalization>(op.computation);
      for (const network::ValueId id : op.operands)
        any = any || (id != kNoValue && behind[id.index]);
      for (const network::ValueId id : op.results) {
        if (id != kNoValue) behind[id.index] = any;
      }
    }
    return behind;
  }

  void FindLast(const std::map<OperationId, MeasuredNorm>& found) {
    std::vector<bool> needed(net_.values.size());
    for (std::size_t i = net_.operations.size(); i-- > 0;) {
      const Operation& op = net_.operations[i];
      bool wanted = std::any_of(op.results.begin(), op.results.end(), [&](network::ValueId id) {
        return id != kNoValue && needed[id.index];
      });
      if (!wanted && found.contains(OperationId{static_cast<std::uint32_t>(i)})) {
        norms_.last.push_back(op.results[0]);
        wanted = true;
      }
      if (!wanted) continue;
      for (const network::ValueId id : op.operands) {
        if (id != kNoValue) needed[id.index] = true;
      }
    }
  }

  const Network& net_;
  const Checkpoint& weights_;
  const Analysis& analysis_;
  std::map<TensorId, std::vector<OperationId>> readers_;
  MeasuredNorms norms_;
};

}  // namespace

Result<MeasuredNorms> FindMeasuredNorms(const Network& network, const Checkpoint& weights,
                                        const Analysis& analysis) {
  return NormSearch(network, weights, analysis).Find();
}

}  // namespace ckpt
