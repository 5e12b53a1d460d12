#include <algorithm>
#include <optional>
#include <utility>

#include "execution/planning.h"

namespace ckpt::execution {
namespace {

using network::Network;
using network::Operation;
using network::ValueId;

class Runner {
 public:
  Runner(const Network& network, const Checkpoint& weights, const RunOptions& options,
         const PlannedRun& planned)
      : network_(network),
        weights_(weights),
        options_(options),
        planned_(planned),
        values_(network.values.size()),
        given_(network.values.size(), nullptr) {}

  Result<std::vector<Array>> Run(std::span<const Array> inputs) {
    TakeInputs(inputs);
    for (std::size_t i = 0; i < network_.operations.size(); ++i) {
      if (!planned_.schedule.runs[i]) continue;
      if (Status status = RunOperation(i); !status) {
        return Fail(AtOperation(network_, i, std::move(status).error()));
      }
    }
    return TakeWanted();
  }

 private:
  void TakeInputs(std::span<const Array> inputs) {
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const std::uint32_t at = network_.inputs[i].value.index;
      if (!planned_.schedule.needed[at]) continue;
      given_[at] = &inputs[i];
      if (options_.precision == Precision::kFloat64) continue;
      values_[at] = inputs[i];
      RoundToFloat(*values_[at]);
      given_[at] = nullptr;
    }
  }

  // A value that is there, or a constant, which is read where it is not yet.
  Result<const Array*> Read(ValueId id) {
    if (given_[id.index] != nullptr) return given_[id.index];
    std::optional<Array>& value = values_[id.index];
    if (value) return &*value;
    const auto& constant = network_.value(id).constant;
    if (!constant) return Fail(ErrorCode::kInternal, "a value that is not made");
    CKPT_ASSIGN_OR_RETURN(
        value, ReadOperand(*constant, weights_, options_.budget, planned_.streamed[id.index]));
    if (options_.precision == Precision::kFloat32) RoundToFloat(*value);
    return &*value;
  }

  // Moved where nothing behind it wants it as well.
  Result<std::vector<Array>> TakeWanted() {
    const std::vector<ValueId>& ids = planned_.schedule.wanted;
    std::vector<Array> wanted;
    for (std::size_t i = 0; i < ids.size(); ++i) {
      CKPT_ASSIGN_OR_RETURN(const Array* array, Read(ids[i]));
      const bool again = std::find(ids.begin() + static_cast<std::ptrdiff_t>(i) + 1, ids.end(),
                                   ids[i]) != ids.end();
      if (again || given_[ids[i].index] != nullptr) {
        wanted.push_back(*array);
      } else {
        wanted.push_back(std::move(*values_[ids[i].index]));
      }
    }
    return wanted;
  }

  Status RunOperation(std::size_t i);
  // A batch norm with the statistics that stand in for its own.
  Result<std::vector<Array>> Compute(std::size_t i, std::vector<const Array*> operands);
  Status Keep(std::size_t i, std::vector<Array> results);

  const Network& network_;
  const Checkpoint& weights_;
  const RunOptions& options_;
  const PlannedRun& planned_;
  std::vector<std::optional<Array>> values_;
  std::vector<const Array*> given_;  // inputs, which are the caller's
};

Result<std::vector<Array>> Runner::Compute(std::size_t i, std::vector<const Array*> operands) {
  const Operation& operation = network_.operations[i];
  const auto compute = [&](const network::Computation& computation) {
    Array* dying = planned_.in_place[i] ? &*values_[operation.operands[0].index] : nullptr;
    return ComputeResults(computation, operands, planned_.outlines[i], options_.precision, dying);
  };
  const auto* norm = std::get_if<network::BatchNormalization>(&operation.computation);
  if (norm == nullptr || !options_.statistics) return compute(operation.computation);
  const network::OperationId id{static_cast<std::uint32_t>(i)};
  CKPT_ASSIGN_OR_RETURN(std::optional<Statistics> statistics,
                        options_.statistics(id, *operands[0]));
  if (!statistics) return compute(operation.computation);
  const auto as_array = [](std::vector<double>& elements) {
    Array array{{static_cast<std::int64_t>(elements.size())}, {}};
    array.elements = std::move(elements);
    return array;
  };
  const Array mean = as_array(statistics->mean), variance = as_array(statistics->variance);
  operands.resize(5, nullptr);
  operands[3] = &mean;
  operands[4] = &variance;
  network::BatchNormalization with_statistics = *norm;
  with_statistics.of_batch = false;
  return compute(with_statistics);
}

Status Runner::Keep(std::size_t i, std::vector<Array> results) {
  const Operation& operation = network_.operations[i];
  const Schedule& schedule = planned_.schedule;
  for (std::size_t k = 0; k < results.size(); ++k) {
    const ValueId id = operation.results[k];
    if (id == network::kNoValue) continue;
    values_[id.index] = std::move(results[k]);
    if (options_.observer != nullptr) {
      CKPT_RETURN_IF_ERROR(options_.observer->Made(id, *values_[id.index]));
    }
    if (schedule.last_read[id.index] == i) values_[id.index].reset();
  }
  for (const ValueId id : operation.operands) {
    if (id != network::kNoValue && schedule.last_read[id.index] == i) values_[id.index].reset();
  }
  return {};
}

Status Runner::RunOperation(std::size_t i) {
  const Operation& operation = network_.operations[i];
  std::vector<const Array*> operands;
  for (const ValueId id : operation.operands) {
    const Array* array = nullptr;
    if (id != network::kNoValue) {
      CKPT_ASSIGN_OR_RETURN(array, Read(id));
    }
    operands.push_back(array);
  }
  CKPT_ASSIGN_OR_RETURN(std::vector<Array> results, Compute(i, std::move(operands)));
  return Keep(i, std::move(results));
}

}  // namespace

Result<std::vector<Array>> Run(const Network& network, const Checkpoint& weights,
                               std::span<const Array> inputs, const RunOptions& options) {
  CKPT_ASSIGN_OR_RETURN(const std::vector<InputOutline> outlines, OutlinesOf(inputs));
  CKPT_ASSIGN_OR_RETURN(const PlannedRun planned, LayOut(network, weights, outlines, options));
  return Runner(network, weights, options, planned).Run(inputs);
}

}  // namespace ckpt::execution
