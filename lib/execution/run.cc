#include "ckpt/execution/run.h"

#include <utility>

#include "execution/schedule.h"

namespace ckpt::execution {
namespace {

using network::BatchNormalization;
using network::kNoValue;
using network::Network;
using network::Operation;
using network::ValueId;

class Runner {
 public:
  Runner(const Network& net, const Checkpoint& weights, const RunOptions& options)
      : net_(net), weights_(weights), options_(options), values_(net.values.size()) {}

  Result<std::vector<Array>> Run(std::span<const Array> inputs) {
    CKPT_ASSIGN_OR_RETURN(const Schedule schedule,
                          Schedule::Of(net_, inputs.size(), options_.wanted));
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      values_[net_.inputs[i].value.index] = inputs[i];
    }
    for (std::size_t place = 0; place < schedule.operations().size(); ++place) {
      const std::uint32_t index = schedule.operations()[place];
      if (Status status = Step(index); !status) return Fail(Within(net_, index, status.error()));
      for (const ValueId id : schedule.DyingAt(place)) values_[id.index].reset();
    }
    std::vector<Array> results;
    for (const ValueId id : schedule.wanted()) {
      CKPT_RETURN_IF_ERROR(Load(id));
      results.push_back(*values_[id.index]);
    }
    return results;
  }

 private:
  Status Load(ValueId id) {
    std::optional<Array>& value = values_[id.index];
    if (value) return {};
    const auto& constant = net_.value(id).constant;
    if (!constant) return Fail(ErrorCode::kCorrupt, "a value is read before it is made");
    CKPT_ASSIGN_OR_RETURN(value, ReadConstant(*constant, weights_, options_.budget));
    return {};
  }

  Status Step(std::uint32_t index) {
    const Operation& op = net_.operations[index];
    std::vector<const Array*> operands;
    Array mean, variance;
    network::Computation computation = op.computation;
    CKPT_ASSIGN_OR_RETURN(const bool replaced, ReplaceStatistics(index, mean, variance));
    for (std::size_t i = 0; i < op.operands.size(); ++i) {
      const ValueId id = op.operands[i];
      const bool statistic = replaced && (i == 3 || i == 4);
      if (id != kNoValue && !statistic) CKPT_RETURN_IF_ERROR(Load(id));
      operands.push_back(id == kNoValue || statistic ? nullptr : &*values_[id.index]);
    }
    if (replaced) {
      operands.resize(5, nullptr);
      operands[3] = &mean;
      operands[4] = &variance;
      std::get<BatchNormalization>(computation).of_batch = false;
    }
    CKPT_ASSIGN_OR_RETURN(
        std::vector<Array> results,
        Evaluate(computation, operands, op.results.size(), options_.budget, options_.precision));
    for (std::size_t i = 0; i < results.size(); ++i) {
      if (op.results[i] == kNoValue) continue;
      if (options_.observer != nullptr) {
        CKPT_RETURN_IF_ERROR(options_.observer->Made(op.results[i], results[i]));
      }
      values_[op.results[i].index] = std::move(results[i]);
    }
    return {};
  }

  // By the caller's statistics, where it has some for this batch norm.
  Result<bool> ReplaceStatistics(std::uint32_t index, Array& mean, Array& variance) {
    const Operation& op = net_.operations[index];
    if (!options_.statistics || !std::holds_alternative<BatchNormalization>(op.computation)) {
      return false;
    }
    CKPT_RETURN_IF_ERROR(Load(op.operands[0]));
    CKPT_ASSIGN_OR_RETURN(auto statistics, options_.statistics(network::OperationId{index},
                                                               *values_[op.operands[0].index]));
    if (!statistics) return false;
    const auto channels = static_cast<std::int64_t>(statistics->mean.size());
    mean = {{channels}, std::move(statistics->mean)};
    variance = {{channels}, std::move(statistics->variance)};
    return true;
  }

  const Network& net_;
  const Checkpoint& weights_;
  const RunOptions& options_;
  std::vector<std::optional<Array>> values_;
};

}  // namespace

Result<std::vector<Array>> Run(const Network& network, const Checkpoint& weights,
                               std::span<const Array> inputs, const RunOptions& options) {
  CKPT_RETURN_IF_ERROR(PlanRun(network, weights, inputs, options));
  return Runner(network, weights, options).Run(inputs);
}

}  // namespace ckpt::execution
